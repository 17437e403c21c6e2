package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"crossover.test/worker"
	"github.com/twmb/franz-go/pkg/kgo"
)

const pollWait = 50 * time.Millisecond

type transformer struct {
	session *kgo.GroupTransactSession
	options worker.Options
	report  *worker.Report

	number  int64 // of the open transaction, or of the last one
	open    bool
	records int
	began   time.Time
}

// transform reads, writes and commits positions in transactions.
func transform(ctx context.Context, options worker.Options, report *worker.Report, ready func()) error {
	var once sync.Once
	session, err := kgo.NewGroupTransactSession(append(common(options),
		kgo.TransactionalID(options.ID),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumerGroup(options.Group),
		kgo.ConsumeTopics(options.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { once.Do(ready) }))...)
	if err != nil {
		return err
	}
	defer session.Close()
	t := &transformer{session: session, options: options, report: report}
	for ctx.Err() == nil {
		if err := t.step(ctx); err != nil {
			return fmt.Errorf("fatal %w", err)
		}
	}
	if err := t.finish(); err != nil {
		return fmt.Errorf("fatal %w", err)
	}
	return nil
}

func (t *transformer) step(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, pollWait)
	fetches := t.session.PollRecords(wait, t.options.Every)
	expired := wait.Err() != nil
	cancel()
	if !expired {
		fetches.EachError(func(_ string, partition int32, err error) {
			t.report.Error(fmt.Errorf("retriable partition %d: %w", partition, err))
		})
	}
	for _, record := range fetches.Records() {
		if err := t.send(record); err != nil {
			return err
		}
	}
	if t.open && (t.records >= t.options.Every || time.Since(t.began) >= t.options.Interval) {
		return t.finish()
	}
	return nil
}

func (t *transformer) send(record *kgo.Record) error {
	if !t.open {
		if err := t.session.Begin(); err != nil {
			return err
		}
		t.number++
		t.open, t.records, t.began = true, 0, time.Now()
	}
	partition, value, err := worker.Transformed(t.options, record.Partition, record.Value, t.number)
	if err != nil {
		return err
	}
	t.session.Produce(context.Background(), &kgo.Record{Topic: t.options.Output, Partition: partition, Value: value}, nil)
	t.records++
	return nil
}

// finish ends the open transaction; the session goes back to what is committed where it did not commit.
func (t *transformer) finish() error {
	if !t.open {
		return nil
	}
	t.open = false
	wanted := kgo.TryCommit
	if t.options.AbortEvery > 0 && t.number%int64(t.options.AbortEvery) == 0 {
		wanted = kgo.TryAbort
		if t.number%2 == 0 {
			// Else some of its records never leave the client.
			if err := t.session.Client().Flush(context.Background()); err != nil {
				t.report.Error(fmt.Errorf("abortable %w", err))
			}
		}
	}
	committed, err := t.session.End(context.Background(), wanted)
	if err != nil {
		return err // how it ended is not known
	}
	outcome := "committed"
	switch {
	case committed:
	case wanted == kgo.TryAbort:
		outcome = "aborted"
	default:
		outcome = "undone"
	}
	t.report.Transaction(t.number, outcome, t.records)
	return nil
}
