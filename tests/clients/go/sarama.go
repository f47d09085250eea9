package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

type saramaTester struct {
	seeds []string
	adm   sarama.ClusterAdmin
}

func saramaClient(seed string) {
	s := saramaTester{seeds: []string{seed}}
	adm, err := sarama.NewClusterAdmin(s.seeds, s.config())
	if err != nil {
		panic(err)
	}
	s.adm = adm
	defer adm.Close()
	t := teller{"sarama", versionOf("github.com/IBM/sarama")}
	t.show("creates-a-topic", func() error { _, err := s.topic("creates", 1, nil); return err })
	t.show("keys-and-headers", s.keysAndHeaders)
	for name, codec := range map[string]sarama.CompressionCodec{
		"gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	} {
		t.show("compresses-"+name, func() error { return s.produced(func(c *sarama.Config) { c.Producer.Compression = codec }) })
	}
	t.show("resumes-where-it-committed", s.resumes)
	t.show("shares-a-group", s.shares)
	t.show("produces-idempotently", func() error { return s.produced(idempotently) })
	t.show("commits-and-aborts", s.transactions)
	t.show("offsets-in-a-transaction", s.offsetsInATransaction)
	t.show("fences-the-older-producer", s.fences)
	t.show("offsets-by-time", s.byTime)
	t.show("describes-the-cluster", s.describesTheCluster)
	t.show("configs", s.configs)
	t.show("adds-partitions", s.addsPartitions)
	t.show("groups", s.groups)
	t.show("deletes-records", s.deletesRecords)
	t.show("deletes-a-topic", s.deletesATopic)
}

// config speaks the newest protocol that this sarama knows, as far as the broker serves it.
func (s saramaTester) config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Retry.Max = 30 // A new topic's leader may not have taken its place yet; three tries are the default.
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Consumer.MaxWaitTime = 200 * time.Millisecond
	return config
}

func idempotently(config *sarama.Config) {
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
}

func (s saramaTester) topic(name string, partitions int32, entries map[string]*string) (string, error) {
	name = unique("sarama-" + name)
	err := s.adm.CreateTopic(name, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}, false)
	if err != nil {
		return name, err
	}
	return name, until("topic", func() (bool, error) {
		described, err := s.adm.DescribeTopics([]string{name})
		return err == nil && len(described) == 1 && described[0].Err == sarama.ErrNoError && len(described[0].Partitions) == int(partitions), err
	})
}

func messages(topic string, values []string) []*sarama.ProducerMessage {
	made := make([]*sarama.ProducerMessage, len(values))
	for n, value := range values {
		made[n] = &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)}
	}
	return made
}

func (s saramaTester) producer(settings ...func(*sarama.Config)) (sarama.SyncProducer, error) {
	config := s.config()
	for _, set := range settings {
		set(config)
	}
	return sarama.NewSyncProducer(s.seeds, config)
}

func (s saramaTester) filled(name string, values []string, settings ...func(*sarama.Config)) (string, error) {
	topic, err := s.topic(name, 1, nil)
	if err != nil {
		return topic, err
	}
	producer, err := s.producer(settings...)
	if err != nil {
		return topic, err
	}
	return topic, errors.Join(producer.SendMessages(messages(topic, values)), producer.Close())
}

// read is the first records of partition 0, read without a group.
func (s saramaTester) read(topic string, count int, settings ...func(*sarama.Config)) ([]*sarama.ConsumerMessage, error) {
	config := s.config()
	for _, set := range settings {
		set(config)
	}
	consumer, err := sarama.NewConsumer(s.seeds, config)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	defer partition.Close()
	var got []*sarama.ConsumerMessage
	for late := time.After(patience); len(got) < count; {
		select {
		case message := <-partition.Messages():
			got = append(got, message)
		case <-late:
			return nil, fmt.Errorf("%d of %d records within %v", len(got), count, patience)
		}
	}
	return got, nil
}

func (s saramaTester) readsAs(topic string, wanted []string, settings ...func(*sarama.Config)) error {
	got, err := s.read(topic, len(wanted), settings...)
	if err != nil {
		return err
	}
	values := make([]string, len(got))
	for n, message := range got {
		values[n] = string(message.Value)
	}
	return same(values, wanted)
}

func (s saramaTester) produced(settings ...func(*sarama.Config)) error {
	topic, err := s.filled("produced", words(200, "v"), settings...)
	if err != nil {
		return err
	}
	return s.readsAs(topic, words(200, "v"))
}

func (s saramaTester) keysAndHeaders() error {
	topic, err := s.topic("headers", 1, nil)
	if err != nil {
		return err
	}
	producer, err := s.producer()
	if err != nil {
		return err
	}
	defer producer.Close()
	headers := []sarama.RecordHeader{{Key: []byte("origin"), Value: []byte("go")}, {Key: []byte("null")}, {Key: []byte("origin"), Value: []byte("again")}}
	err = producer.SendMessages([]*sarama.ProducerMessage{
		{Topic: topic, Key: sarama.ByteEncoder{0xff, 0}, Value: sarama.StringEncoder("bytes"), Headers: headers},
		{Topic: topic, Key: sarama.StringEncoder("k")},
	})
	if err != nil {
		return err
	}
	got, err := s.read(topic, 2)
	if err != nil {
		return err
	}
	if err := same([]any{got[0].Key, got[0].Value, got[1].Key, got[1].Value == nil}, []any{[]byte{0xff, 0}, []byte("bytes"), []byte("k"), true}); err != nil {
		return err
	}
	for n, header := range got[0].Headers {
		if err := same(*header, headers[n]); err != nil {
			return err
		}
	}
	return same(len(got[0].Headers), len(headers))
}

// member is a handler of a group: it keeps what it was given, and hands each record to `each` until that says that it is enough.
type member struct {
	group  sarama.ConsumerGroup
	mutex  sync.Mutex
	owned  int
	first  int64
	each   func(sarama.ConsumerGroupSession, *sarama.ConsumerMessage) (enough bool)
	cancel context.CancelFunc
	ended  chan error
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.owned = 0
	for _, partitions := range session.Claims() {
		m.owned += len(partitions)
	}
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, more := <-claim.Messages():
			if !more {
				return nil
			}
			if m.each(session, message) {
				session.Commit()
				m.cancel()
				return nil
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) owns() int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.owned
}

// joins runs a member until it has enough or is left.
func (s saramaTester) joins(group, topic string, each func(sarama.ConsumerGroupSession, *sarama.ConsumerMessage) bool) (*member, error) {
	joined, err := sarama.NewConsumerGroup(s.seeds, group, s.config())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	m := &member{group: joined, each: each, cancel: cancel, ended: make(chan error, 1)}
	go func() {
		var err error
		for err == nil && ctx.Err() == nil {
			err = joined.Consume(ctx, []string{topic}, m)
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = errors.Join(err, fmt.Errorf("not enough within %v", patience))
		}
		m.ended <- err
	}()
	return m, nil
}

func (m *member) leaves() error {
	m.cancel()
	err := <-m.ended
	return errors.Join(err, m.group.Close())
}

// waits returns when the member has had enough.
func (m *member) waits() error { return errors.Join(<-m.ended, m.group.Close()) }

func (s saramaTester) resumes() error {
	topic, err := s.filled("resumes", words(10, "v"))
	if err != nil {
		return err
	}
	group := unique("sarama-group")
	first, err := s.joins(group, topic, func(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) bool {
		session.MarkMessage(message, "")
		return message.Offset == 3
	})
	if err := errors.Join(err, first.waits()); err != nil {
		return err
	}
	var resumed int64
	second, err := s.joins(group, topic, func(_ sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) bool {
		resumed = message.Offset
		return true
	})
	if err := errors.Join(err, second.waits()); err != nil {
		return err
	}
	return same(resumed, int64(4))
}

func none(sarama.ConsumerGroupSession, *sarama.ConsumerMessage) bool { return false }

func (s saramaTester) shares() error {
	topic, err := s.topic("shares", 4, nil)
	if err != nil {
		return err
	}
	group := unique("sarama-group")
	leaves, err := s.joins(group, topic, none)
	if err != nil {
		return err
	}
	stays, err := s.joins(group, topic, none)
	if err != nil {
		return err
	}
	err = until("even sharing of 4 partitions", func() (bool, error) { return leaves.owns() == 2 && stays.owns() == 2, nil })
	if err = errors.Join(err, leaves.leaves()); err != nil {
		return err
	}
	err = until("take-over of 4 partitions", func() (bool, error) { return stays.owns() == 4, nil })
	return errors.Join(err, stays.leaves())
}

func (s saramaTester) transactional(id string) (sarama.SyncProducer, error) {
	return s.producer(idempotently, func(config *sarama.Config) {
		config.Producer.Transaction.ID = id
		config.Producer.Transaction.Timeout = 20 * time.Second
	})
}

func committed(config *sarama.Config) { config.Consumer.IsolationLevel = sarama.ReadCommitted }

func (s saramaTester) transactions() error {
	topic, err := s.topic("transactions", 1, nil)
	if err != nil {
		return err
	}
	producer, err := s.transactional(topic)
	if err != nil {
		return err
	}
	defer producer.Close()
	for _, part := range []struct {
		word string
		end  func() error
	}{{"a", producer.CommitTxn}, {"aborted", producer.AbortTxn}, {"b", producer.CommitTxn}} {
		if err := errors.Join(producer.BeginTxn(), producer.SendMessages(messages(topic, words(5, part.word))), part.end()); err != nil {
			return err
		}
	}
	if err := s.readsAs(topic, append(words(5, "a"), words(5, "b")...), committed); err != nil {
		return err
	}
	return s.readsAs(topic, append(append(words(5, "a"), words(5, "aborted")...), words(5, "b")...))
}

func (s saramaTester) offsetsInATransaction() error {
	source, err := s.filled("source", words(6, "v"))
	if err != nil {
		return err
	}
	sink, err := s.topic("sink", 1, nil)
	if err != nil {
		return err
	}
	group := unique("sarama-group")
	for _, wanted := range []int64{-1, 6} {
		producer, err := s.transactional(sink)
		if err != nil {
			return err
		}
		offsets := map[string][]*sarama.PartitionOffsetMetadata{source: {{Partition: 0, Offset: 6, LeaderEpoch: -1}}}
		end := producer.CommitTxn
		if wanted < 0 {
			end = producer.AbortTxn
		}
		err = errors.Join(producer.BeginTxn(), producer.SendMessages(messages(sink, words(6, "v"))), producer.AddOffsetsToTxn(offsets, group), end(), producer.Close())
		if err != nil {
			return err
		}
		err = until(fmt.Sprintf("committed offset %d", wanted), func() (bool, error) {
			found, err := s.adm.ListConsumerGroupOffsets(group, map[string][]int32{source: {0}})
			return err == nil && found.GetBlock(source, 0).Offset == wanted, err
		})
		if err != nil {
			return err
		}
	}
	return s.readsAs(sink, words(6, "v"), committed)
}

func (s saramaTester) fences() error {
	topic, err := s.topic("fences", 1, nil)
	if err != nil {
		return err
	}
	older, err := s.transactional(topic)
	if err != nil {
		return err
	}
	defer older.Close()
	if err := errors.Join(older.BeginTxn(), older.SendMessages(messages(topic, words(1, "v")))); err != nil {
		return err
	}
	newer, err := s.transactional(topic)
	if err != nil {
		return err
	}
	defer newer.Close()
	if err := errors.Join(newer.BeginTxn(), newer.SendMessages(messages(topic, words(1, "v"))), newer.CommitTxn()); err != nil {
		return err
	}
	err = older.CommitTxn()
	if err == nil || older.TxnStatus()&sarama.ProducerTxnFlagFatalError == 0 {
		return fmt.Errorf("the older producer of a transactional id was not fenced: %v, %v", err, older.TxnStatus())
	}
	return nil
}

func (s saramaTester) byTime() error {
	topic, err := s.topic("time", 1, nil)
	if err != nil {
		return err
	}
	producer, err := s.producer()
	if err != nil {
		return err
	}
	defer producer.Close()
	const began = 1_700_000_000_000
	sent := messages(topic, words(10, "v"))
	for n, message := range sent {
		message.Timestamp = time.UnixMilli(began + int64(n)*1000)
	}
	if err := producer.SendMessages(sent); err != nil {
		return err
	}
	client, err := sarama.NewClient(s.seeds, s.config())
	if err != nil {
		return err
	}
	defer client.Close()
	for after, wanted := range map[int64]int64{0: 0, 3500: 4, 99_000: -1} {
		found, err := client.GetOffset(topic, 0, began+after)
		if err := errors.Join(err, same(found, wanted)); err != nil {
			return err
		}
	}
	return nil
}
