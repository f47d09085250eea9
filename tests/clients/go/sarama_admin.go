package main

import (
	"errors"
	"fmt"

	"github.com/IBM/sarama"
)

func (s saramaTester) describesTheCluster() error {
	brokers, controller, err := s.adm.DescribeCluster()
	if err != nil {
		return err
	}
	return same([]any{len(brokers), brokers[0].ID()}, []any{1, controller})
}

func (s saramaTester) settings(topic string) (map[string]string, error) {
	found, err := s.adm.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms", "cleanup.policy"}})
	values := map[string]string{}
	for _, entry := range found {
		values[entry.Name] = entry.Value
	}
	return values, err
}

func (s saramaTester) configs() error {
	day, hour, policy, wrong := "86400000", "3600000", "compact", "soon"
	topic, err := s.topic("configs", 1, map[string]*string{"retention.ms": &day})
	if err != nil {
		return err
	}
	found, err := s.settings(topic)
	if err := errors.Join(err, same(found, map[string]string{"retention.ms": day, "cleanup.policy": "delete"})); err != nil {
		return err
	}
	err = s.adm.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms":   {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &hour},
		"cleanup.policy": {Operation: sarama.IncrementalAlterConfigsOperationAppend, Value: &policy},
	}, false)
	if err != nil {
		return err
	}
	err = until("changed setting", func() (bool, error) {
		found, err := s.settings(topic)
		return found["retention.ms"] == hour && found["cleanup.policy"] == "delete,compact", err
	})
	if err != nil {
		return err
	}
	err = s.adm.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &wrong},
	}, false)
	if !errors.Is(err, sarama.ErrInvalidConfig) {
		return fmt.Errorf("an impossible value was not refused as such: %v", err)
	}
	return nil
}

func (s saramaTester) addsPartitions() error {
	topic, err := s.topic("grows", 1, nil)
	if err != nil {
		return err
	}
	if err := s.adm.CreatePartitions(topic, 3, nil, false); err != nil {
		return err
	}
	return until("three partitions", func() (bool, error) {
		described, err := s.adm.DescribeTopics([]string{topic})
		return err == nil && len(described[0].Partitions) == 3, err
	})
}

func (s saramaTester) groups() error {
	topic, err := s.filled("groups", words(3, "v"))
	if err != nil {
		return err
	}
	group := unique("sarama-group")
	joined, err := s.joins(group, topic, none)
	if err != nil {
		return err
	}
	err = until("stable group of one", func() (bool, error) {
		described, err := s.adm.DescribeConsumerGroups([]string{group})
		return err == nil && described[0].State == "Stable" && len(described[0].Members) == 1, err
	})
	listed, err2 := s.adm.ListConsumerGroups()
	if err := errors.Join(err, err2, joined.leaves()); err != nil {
		return err
	}
	if _, there := listed[group]; !there {
		return fmt.Errorf("group %s is not listed", group)
	}
	return s.adm.DeleteConsumerGroup(group)
}

func (s saramaTester) deletesRecords() error {
	topic, err := s.filled("records", words(10, "v"))
	if err != nil {
		return err
	}
	if err := s.adm.DeleteRecords(topic, map[int32]int64{0: 7}); err != nil {
		return err
	}
	got, err := s.read(topic, 3)
	if err != nil {
		return err
	}
	return same(got[0].Offset, int64(7))
}

func (s saramaTester) deletesATopic() error {
	topic, err := s.topic("gone", 1, nil)
	if err != nil {
		return err
	}
	if err := s.adm.DeleteTopic(topic); err != nil {
		return err
	}
	return until("end of the topic", func() (bool, error) {
		topics, err := s.adm.ListTopics()
		_, there := topics[topic]
		return err == nil && !there, err
	})
}
