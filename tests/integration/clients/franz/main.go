// The client worker of franz-go.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"crossover.test/worker"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	worker.Main(worker.Client{NewProducer: newProducer, Consume: consume, Transform: transform})
}

func common(options worker.Options) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(options.Bootstrap...),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)),
	}
}

type producer struct {
	client  *kgo.Client
	options worker.Options
	report  *worker.Report
}

func newProducer(options worker.Options, report *worker.Report) (worker.Producer, error) {
	acks := map[string]kgo.Acks{"all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}
	opts := append(common(options),
		kgo.DefaultProduceTopic(options.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(acks[options.Acks]))
	if !options.Idempotent {
		// The library's default of one produce request in flight per broker then keeps the order across retries.
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	if options.Retries >= 0 {
		opts = append(opts, kgo.RecordRetries(options.Retries))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	return &producer{client, options, report}, client.Ping(context.Background())
}

func (p *producer) Send(partition int32, n int64, value []byte) {
	record := &kgo.Record{Partition: partition, Value: value}
	p.client.Produce(context.Background(), record, func(record *kgo.Record, err error) {
		switch {
		case err != nil:
			p.report.Failed(partition, n, err)
		case p.options.Acks == "0":
			p.report.Acked(partition, n, -1)
		default:
			p.report.Acked(partition, n, record.Offset)
		}
	})
}

func (p *producer) Close() {
	if err := p.client.Flush(context.Background()); err != nil {
		p.report.Error(err)
	}
	p.client.Close()
}

func consume(ctx context.Context, options worker.Options, report *worker.Report, ready func()) error {
	var once sync.Once
	opts := append(common(options),
		kgo.ConsumerGroup(options.Group),
		kgo.ConsumeTopics(options.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitInterval(time.Second),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { once.Do(ready) }))
	if options.Isolation == "read_committed" {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	for {
		fetches := client.PollFetches(ctx)
		fetches.EachRecord(func(record *kgo.Record) {
			report.Consumed(record.Partition, record.Offset, record.Value)
		})
		if ctx.Err() != nil {
			break
		}
		fetches.EachError(func(_ string, partition int32, err error) {
			report.Error(fmt.Errorf("partition %d: %w", partition, err))
		})
	}
	// Leaving the group commits what was polled.
	client.Close()
	return nil
}
