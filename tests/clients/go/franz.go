package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type franzClient struct {
	seed string
	adm  *kadm.Client
}

func franz(seed string) {
	f := franzClient{seed: seed}
	base, err := f.open()
	if err != nil {
		panic(err)
	}
	f.adm = kadm.NewClient(base)
	defer f.adm.Close()
	t := teller{"franz-go", versionOf("github.com/twmb/franz-go")}
	t.show("creates-a-topic", func() error { _, err := f.topic("creates", 1, nil); return err })
	t.show("keys-and-headers", f.keysAndHeaders)
	for name, codec := range map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.show("compresses-"+name, func() error { return f.produced(200, kgo.ProducerBatchCompression(codec)) })
	}
	t.show("resumes-where-it-committed", f.resumes)
	t.show("shares-a-group", func() error { return f.shares(kgo.Balancers(kgo.RangeBalancer())) })
	t.show("shares-a-group-cooperatively", func() error { return f.shares(kgo.Balancers(kgo.CooperativeStickyBalancer())) })
	t.show("produces-idempotently", func() error { return f.produced(500) })
	t.show("commits-and-aborts", f.transactions)
	t.show("offsets-in-a-transaction", f.offsetsInATransaction)
	t.show("fences-the-older-producer", f.fences)
	t.show("offsets-by-time", f.byTime)
	t.show("log-append-time", f.logAppendTime)
	t.show("describes-the-cluster", f.describesTheCluster)
	t.show("configs", f.configs)
	t.show("adds-partitions", f.addsPartitions)
	t.show("groups", f.groups)
	t.show("deletes-records", f.deletesRecords)
	t.show("deletes-a-topic", f.deletesATopic)
	t.show("transactions-listed", f.transactionsListed)
	t.show("log-dirs", f.logDirs)
	t.show("next-generation-group", f.nextGeneration)
}

func (f franzClient) open(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(f.seed), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.FetchMaxWait(200 * time.Millisecond)}, options...)...)
}

// limited is the context of one wait.
func limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

func (f franzClient) topic(name string, partitions int32, configs map[string]*string) (string, error) {
	ctx, cancel := limited()
	defer cancel()
	name = unique("franz-" + name)
	_, err := f.adm.CreateTopic(ctx, partitions, 1, configs, name)
	return name, err
}

func (f franzClient) send(to *kgo.Client, topic string, values []string) error {
	ctx, cancel := limited()
	defer cancel()
	records := make([]*kgo.Record, len(values))
	for n, value := range values {
		records[n] = &kgo.Record{Topic: topic, Value: []byte(value)}
	}
	return to.ProduceSync(ctx, records...).FirstErr()
}

// take is the next count records, in order.
func take(from *kgo.Client, count int) ([]*kgo.Record, error) {
	ctx, cancel := limited()
	defer cancel()
	var got []*kgo.Record
	for len(got) < count {
		fetches := from.PollRecords(ctx, count-len(got))
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("after %d of %d records: %w", len(got), count, err)
		}
		for _, failed := range fetches.Errors() {
			return nil, failed.Err
		}
		got = append(got, fetches.Records()...)
	}
	return got, nil
}

func (f franzClient) read(topic string, count int, options ...kgo.Opt) ([]string, []*kgo.Record, error) {
	reader, err := f.open(append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))...)
	if err != nil {
		return nil, nil, err
	}
	defer reader.Close()
	records, err := take(reader, count)
	values := make([]string, len(records))
	for n, record := range records {
		values[n] = string(record.Value)
	}
	return values, records, err
}

func (f franzClient) readsAs(topic string, wanted []string, options ...kgo.Opt) error {
	got, _, err := f.read(topic, len(wanted), options...)
	if err != nil {
		return err
	}
	return same(got, wanted)
}

// produced sends so many records with a producer of these options and reads them back. Every producer of franz-go is idempotent.
func (f franzClient) produced(count int, options ...kgo.Opt) error {
	topic, err := f.topic("produced", 1, nil)
	if err != nil {
		return err
	}
	producer, err := f.open(options...)
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := f.send(producer, topic, words(count, "v")); err != nil {
		return err
	}
	return f.readsAs(topic, words(count, "v"))
}

func (f franzClient) keysAndHeaders() error {
	topic, err := f.topic("headers", 1, nil)
	if err != nil {
		return err
	}
	ctx, cancel := limited()
	defer cancel()
	headers := []kgo.RecordHeader{{Key: "origin", Value: []byte("go")}, {Key: "null"}, {Key: "origin", Value: []byte("again")}}
	sent := []*kgo.Record{{Topic: topic, Key: []byte{0xff, 0}, Value: []byte("bytes"), Headers: headers}, {Topic: topic, Key: []byte("k")}}
	producer, err := f.open()
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := producer.ProduceSync(ctx, sent...).FirstErr(); err != nil {
		return err
	}
	_, got, err := f.read(topic, 2)
	if err != nil {
		return err
	}
	for n := range sent {
		if err := same([]any{got[n].Key, got[n].Value, len(got[n].Headers)}, []any{sent[n].Key, sent[n].Value, len(sent[n].Headers)}); err != nil {
			return err
		}
	}
	return same(got[0].Headers, headers)
}

func (f franzClient) filled(name string, partitions int32, values []string) (string, error) {
	topic, err := f.topic(name, partitions, nil)
	if err != nil {
		return "", err
	}
	producer, err := f.open()
	if err != nil {
		return "", err
	}
	defer producer.Close()
	return topic, f.send(producer, topic, values)
}

func (f franzClient) member(group, topic string, options ...kgo.Opt) (*kgo.Client, error) {
	return f.open(append([]kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(500 * time.Millisecond)}, options...)...)
}

func (f franzClient) resumes() error {
	topic, err := f.filled("resumes", 1, words(10, "v"))
	if err != nil {
		return err
	}
	group := unique("franz-group")
	first, err := f.member(group, topic)
	if err != nil {
		return err
	}
	records, err := take(first, 4)
	if err == nil {
		err = first.CommitRecords(context.Background(), records...)
	}
	first.Close()
	if err != nil {
		return err
	}
	second, err := f.member(group, topic)
	if err != nil {
		return err
	}
	defer second.Close()
	records, err = take(second, 1)
	if err != nil {
		return err
	}
	return same(records[0].Offset, int64(4))
}

func (f franzClient) shares(balancers kgo.Opt) error {
	topic, err := f.topic("shares", 4, nil)
	if err != nil {
		return err
	}
	group := unique("franz-group")
	var owned [2]atomic.Int64
	var members [2]*kgo.Client
	for n := range members {
		gains := func(_ context.Context, _ *kgo.Client, got map[string][]int32) { owned[n].Add(int64(len(got[topic]))) }
		loses := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
			owned[n].Add(-int64(len(lost[topic])))
		}
		members[n], err = f.member(group, topic, balancers, kgo.OnPartitionsAssigned(gains), kgo.OnPartitionsRevoked(loses), kgo.OnPartitionsLost(loses))
		if err != nil {
			return err
		}
		defer members[n].Close()
	}
	owns := func(first, second int64) func() (bool, error) {
		return func() (bool, error) { return owned[0].Load() == first && owned[1].Load() == second, nil }
	}
	if err := until("even sharing of 4 partitions", owns(2, 2)); err != nil {
		return err
	}
	members[0].Close()
	return until("take-over of 4 partitions", owns(0, 4))
}

func (f franzClient) transactional(id string) (*kgo.Client, error) {
	return f.open(kgo.TransactionalID(id), kgo.TransactionTimeout(20*time.Second))
}

func (f franzClient) transactions() error {
	topic, err := f.topic("transactions", 1, nil)
	if err != nil {
		return err
	}
	producer, err := f.transactional(topic)
	if err != nil {
		return err
	}
	defer producer.Close()
	ctx, cancel := limited()
	defer cancel()
	for _, part := range []struct {
		word string
		end  kgo.TransactionEndTry
	}{{"a", kgo.TryCommit}, {"aborted", kgo.TryAbort}, {"b", kgo.TryCommit}} {
		if err := errors.Join(producer.BeginTransaction(), f.send(producer, topic, words(5, part.word)), producer.EndTransaction(ctx, part.end)); err != nil {
			return err
		}
	}
	if err := f.readsAs(topic, append(words(5, "a"), words(5, "b")...), kgo.FetchIsolationLevel(kgo.ReadCommitted())); err != nil {
		return err
	}
	all := append(append(words(5, "a"), words(5, "aborted")...), words(5, "b")...)
	return f.readsAs(topic, all, kgo.FetchIsolationLevel(kgo.ReadUncommitted()))
}

func (f franzClient) offsetsInATransaction() error {
	source, err := f.filled("source", 1, words(6, "v"))
	if err != nil {
		return err
	}
	sink, err := f.topic("sink", 1, nil)
	if err != nil {
		return err
	}
	group := unique("franz-group")
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := f.copies(source, sink, group, end); err != nil {
			return err
		}
	}
	return f.readsAs(sink, words(6, "v"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
}

// copies reads six records, writes them and commits their offsets in one transaction, as franz-go's own session does it.
func (f franzClient) copies(source, sink, group string, end kgo.TransactionEndTry) error {
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(f.seed), kgo.TransactionalID(sink), kgo.ConsumerGroup(group), kgo.ConsumeTopics(source),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		return err
	}
	defer session.Close()
	ctx, cancel := limited()
	defer cancel()
	records, err := take(session.Client(), 6)
	if err != nil {
		return err
	}
	if err := session.Begin(); err != nil {
		return err
	}
	for _, record := range records {
		if err := session.ProduceSync(ctx, &kgo.Record{Topic: sink, Value: record.Value}).FirstErr(); err != nil {
			return err
		}
	}
	committed, err := session.End(ctx, end)
	if err != nil {
		return err
	}
	return same(committed, end == kgo.TryCommit)
}

func (f franzClient) fences() error {
	topic, err := f.topic("fences", 1, nil)
	if err != nil {
		return err
	}
	older, err := f.transactional(topic)
	if err != nil {
		return err
	}
	defer older.Close()
	if err := errors.Join(older.BeginTransaction(), f.send(older, topic, words(1, "v"))); err != nil {
		return err
	}
	newer, err := f.transactional(topic)
	if err != nil {
		return err
	}
	defer newer.Close()
	ctx, cancel := limited()
	defer cancel()
	if err := errors.Join(newer.BeginTransaction(), f.send(newer, topic, words(1, "v")), newer.EndTransaction(ctx, kgo.TryCommit)); err != nil {
		return err
	}
	err = older.EndTransaction(ctx, kgo.TryCommit)
	if !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) {
		return fmt.Errorf("the older producer of a transactional id was not fenced: %v", err)
	}
	return nil
}

func (f franzClient) byTime() error {
	topic, err := f.topic("time", 1, nil)
	if err != nil {
		return err
	}
	producer, err := f.open()
	if err != nil {
		return err
	}
	defer producer.Close()
	ctx, cancel := limited()
	defer cancel()
	const began = 1_700_000_000_000
	for n := range int64(10) {
		record := &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: time.UnixMilli(began + n*1000)}
		if err := producer.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	for after, wanted := range map[int64]int64{0: 0, 3500: 4, 99_000: 10} {
		listed, err := f.adm.ListOffsetsAfterMilli(ctx, began+after, topic)
		if err != nil {
			return err
		}
		found, _ := listed.Lookup(topic, 0)
		// Where no record is as young, kadm gives the end of the partition.
		if err := errors.Join(found.Err, same(found.Offset, wanted)); err != nil {
			return err
		}
	}
	listed, err := f.adm.ListMaxTimestampOffsets(ctx, topic)
	if err != nil {
		return err
	}
	found, _ := listed.Lookup(topic, 0)
	return errors.Join(found.Err, same([]int64{found.Offset, found.Timestamp}, []int64{9, began + 9000}))
}

func (f franzClient) logAppendTime() error {
	topic, err := f.topic("append-time", 1, map[string]*string{"message.timestamp.type": kadm.StringPtr("LogAppendTime")})
	if err != nil {
		return err
	}
	producer, err := f.open()
	if err != nil {
		return err
	}
	defer producer.Close()
	ctx, cancel := limited()
	defer cancel()
	if err := producer.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: time.UnixMilli(1000)}).FirstErr(); err != nil {
		return err
	}
	_, records, err := f.read(topic, 1)
	if err != nil {
		return err
	}
	return same([]any{records[0].Attrs.TimestampType(), records[0].Timestamp.UnixMilli() > 1_700_000_000_000}, []any{int8(1), true})
}

// nextGeneration shows whether a member that asks for KIP-848 gets it. franz-go falls back to the older protocol where a broker has none.
func (f franzClient) nextGeneration() error {
	ctx, cancel := limited()
	defer cancel()
	topic, err := f.filled("consumer", 1, words(3, "v"))
	if err != nil {
		return err
	}
	group := unique("franz-group")
	member, err := f.open(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer member.Close()
	if _, err := take(member, 3); err != nil {
		return err
	}
	described, err := f.adm.DescribeConsumerGroups(ctx, group)
	if err != nil {
		return unserved(err)
	}
	if err := described.Error(); err != nil {
		return fmt.Errorf("%w: it falls back to the older protocol (%v)", errRefused, err)
	}
	return same(described[group].State, "Stable")
}
