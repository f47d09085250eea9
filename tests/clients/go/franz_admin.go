package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func (f franzClient) describesTheCluster() error {
	ctx, cancel := limited()
	defer cancel()
	cluster, err := f.adm.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	return same([]any{len(cluster.Brokers), cluster.Cluster != ""}, []any{1, true})
}

func (f franzClient) setting(ctx context.Context, topic, key string) (string, error) {
	described, err := f.adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return "", err
	}
	resource, err := described.On(topic, nil)
	for _, config := range resource.Configs {
		if config.Key == key {
			return config.MaybeValue(), errors.Join(err, resource.Err)
		}
	}
	return "", errors.Join(err, resource.Err, fmt.Errorf("%s has no setting %s", topic, key))
}

func (f franzClient) configs() error {
	ctx, cancel := limited()
	defer cancel()
	topic, err := f.topic("configs", 1, map[string]*string{"retention.ms": kadm.StringPtr("86400000")})
	if err != nil {
		return err
	}
	value, err := f.setting(ctx, topic, "retention.ms")
	if err := errors.Join(err, same(value, "86400000")); err != nil {
		return err
	}
	alter := func(changes ...kadm.AlterConfig) error {
		altered, err := f.adm.AlterTopicConfigs(ctx, changes, topic)
		if err != nil {
			return err
		}
		return altered[0].Err
	}
	err = alter(kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("3600000")},
		kadm.AlterConfig{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")})
	if err != nil {
		return err
	}
	err = until("changed setting", func() (bool, error) {
		retention, err := f.setting(ctx, topic, "retention.ms")
		policy, err2 := f.setting(ctx, topic, "cleanup.policy")
		return retention == "3600000" && policy == "delete,compact", errors.Join(err, err2)
	})
	if err != nil {
		return err
	}
	err = alter(kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("soon")})
	if !errors.Is(err, kerr.InvalidConfig) {
		return fmt.Errorf("an impossible value was not refused as such: %v", err)
	}
	return nil
}

func (f franzClient) addsPartitions() error {
	ctx, cancel := limited()
	defer cancel()
	topic, err := f.topic("grows", 1, nil)
	if err != nil {
		return err
	}
	added, err := f.adm.UpdatePartitions(ctx, 3, topic)
	if err := errors.Join(err, added.Error()); err != nil {
		return err
	}
	return until("three partitions", func() (bool, error) {
		topics, err := f.adm.ListTopics(ctx, topic)
		return err == nil && len(topics[topic].Partitions) == 3, err
	})
}

func (f franzClient) groups() error {
	ctx, cancel := limited()
	defer cancel()
	topic, err := f.filled("groups", 1, words(3, "v"))
	if err != nil {
		return err
	}
	group := unique("franz-group")
	member, err := f.member(group, topic)
	if err != nil {
		return err
	}
	defer member.Close()
	records, err := take(member, 3)
	if err := errors.Join(err, member.CommitRecords(ctx, records...)); err != nil {
		return err
	}
	listed, err := f.adm.ListGroups(ctx)
	if err != nil {
		return err
	}
	if _, there := listed[group]; !there {
		return fmt.Errorf("group %s is not listed", group)
	}
	described, err := f.adm.DescribeGroups(ctx, group)
	if err != nil {
		return err
	}
	if err := same([]any{described[group].State, len(described[group].Members)}, []any{"Stable", 1}); err != nil {
		return err
	}
	lag, err := f.adm.Lag(ctx, group)
	if err := errors.Join(err, same(lag[group].Lag.Total(), int64(0))); err != nil {
		return err
	}
	member.Close()
	deleted, err := f.adm.DeleteGroup(ctx, group)
	return errors.Join(err, deleted.Err)
}

func (f franzClient) deletesRecords() error {
	ctx, cancel := limited()
	defer cancel()
	topic, err := f.filled("records", 1, words(10, "v"))
	if err != nil {
		return err
	}
	var before kadm.Offsets
	before.AddOffset(topic, 0, 7, -1)
	deleted, err := f.adm.DeleteRecords(ctx, before)
	if err := errors.Join(err, deleted.Error()); err != nil {
		return err
	}
	low, err := f.adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	first, _ := low.Lookup(topic, 0)
	return same(first.Offset, int64(7))
}

func (f franzClient) deletesATopic() error {
	ctx, cancel := limited()
	defer cancel()
	topic, err := f.topic("gone", 1, nil)
	if err != nil {
		return err
	}
	if _, err := f.adm.DeleteTopic(ctx, topic); err != nil {
		return err
	}
	return until("end of the topic", func() (bool, error) {
		topics, err := f.adm.ListTopics(ctx)
		return err == nil && !topics.Has(topic), err
	})
}

func (f franzClient) transactionsListed() error {
	ctx, cancel := limited()
	defer cancel()
	topic, err := f.topic("listed", 1, nil)
	if err != nil {
		return err
	}
	producer, err := f.transactional(topic)
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := errors.Join(producer.BeginTransaction(), f.send(producer, topic, words(1, "v"))); err != nil {
		return err
	}
	listed, err := f.adm.ListTransactions(ctx, nil, nil)
	if err != nil {
		return unserved(err)
	}
	if err := same(listed[topic].State, "Ongoing"); err != nil {
		return err
	}
	described, err := f.adm.DescribeTransactions(ctx, topic)
	if err != nil {
		return unserved(err)
	}
	return errors.Join(described[topic].Err, same(described[topic].State, "Ongoing"), producer.EndTransaction(ctx, kgo.TryAbort))
}

func (f franzClient) logDirs() error {
	ctx, cancel := limited()
	defer cancel()
	topic, err := f.filled("dirs", 1, words(10, "v"))
	if err != nil {
		return err
	}
	described, err := f.adm.DescribeAllLogDirs(ctx, kadm.TopicsSet{topic: {0: {}}})
	if err != nil {
		return unserved(err)
	}
	size := int64(0)
	described.Each(func(dir kadm.DescribedLogDir) { size += dir.Size() })
	return same(size > 0, true)
}

// unserved tells a refusal of the client, which has learnt what the broker serves, from any other error.
func unserved(err error) error {
	if errors.Is(err, kerr.UnsupportedVersion) || strings.Contains(err.Error(), "broker is too old") {
		return fmt.Errorf("%w: %v", errRefused, err)
	}
	return err
}
