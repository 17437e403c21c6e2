// The client worker of sarama.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"sync"
	"time"

	"crossover.test/worker"
	"github.com/IBM/sarama"
)

func main() {
	sarama.Logger = log.New(os.Stderr, "sarama ", log.LstdFlags)
	worker.Main(worker.Client{NewProducer: newProducer, Consume: consume})
}

type producer struct {
	async  sarama.AsyncProducer
	topic  string
	report *worker.Report
	// flying counts the records whose fate is not told yet.
	flying sync.WaitGroup
	told   sync.WaitGroup
}

func newProducer(options worker.Options, report *worker.Report) (worker.Producer, error) {
	acks := map[string]sarama.RequiredAcks{"all": sarama.WaitForAll, "1": sarama.WaitForLocal, "0": sarama.NoResponse}
	config := sarama.NewConfig()
	config.Producer.RequiredAcks = acks[options.Acks]
	config.Producer.Idempotent = options.Idempotent
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Return.Successes = true
	config.Producer.Flush.Frequency = 10 * time.Millisecond // the default makes a batch of nearly every record
	// The idempotent producer insists on it; without idempotence a retry could overtake what is in flight.
	config.Net.MaxOpenRequests = 1
	if options.Retries >= 0 {
		config.Producer.Retry.Max = options.Retries
	}
	async, err := sarama.NewAsyncProducer(options.Bootstrap, config)
	if err != nil {
		return nil, err
	}
	p := &producer{async: async, topic: options.Topic, report: report}
	p.told.Go(func() {
		for message := range async.Successes() {
			record := message.Metadata.(sent)
			report.Acked(record.partition, record.n, message.Offset)
			p.flying.Done()
		}
	})
	p.told.Go(func() {
		for failure := range async.Errors() {
			record := failure.Msg.Metadata.(sent)
			report.Failed(record.partition, record.n, failure.Err)
			p.flying.Done()
		}
	})
	return p, nil
}

// sent travels with a message from Send to the report.
type sent struct {
	partition int32
	n         int64
}

func (p *producer) Send(partition int32, n int64, value []byte) {
	p.flying.Add(1)
	p.async.Input() <- &sarama.ProducerMessage{
		Topic:     p.topic,
		Partition: partition,
		Value:     sarama.ByteEncoder(value),
		// The library leaves it alone when no offset was told (acks=0, or error 46, which nobody should get).
		Offset:   -1,
		Metadata: sent{partition, n},
	}
}

// A batch that is being retried when the library begins to close would fail.
func (p *producer) Close() {
	p.flying.Wait()
	p.async.AsyncClose()
	p.told.Wait()
}

func consume(ctx context.Context, options worker.Options, report *worker.Report, ready func()) error {
	config := sarama.NewConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Return.Errors = true
	if options.Isolation == "read_committed" {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	group, err := sarama.NewConsumerGroup(options.Bootstrap, options.Group, config)
	if err != nil {
		return err
	}
	var told sync.WaitGroup
	told.Go(func() {
		for err := range group.Errors() {
			report.Error(err)
		}
	})
	handler := &handler{report: report, ready: sync.OnceFunc(ready)}
	// One call of Consume lasts until the next rebalance.
	for ctx.Err() == nil {
		err := group.Consume(ctx, []string{options.Topic}, handler)
		if err != nil && !errors.Is(err, context.Canceled) {
			report.Error(err)
		}
	}
	err = group.Close()
	told.Wait()
	return err
}

type handler struct {
	report *worker.Report
	ready  func()
}

func (h *handler) Setup(sarama.ConsumerGroupSession) error {
	h.ready()
	return nil
}

func (h *handler) Cleanup(sarama.ConsumerGroupSession) error {
	return nil
}

func (h *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			h.report.Consumed(message.Partition, message.Offset, message.Value)
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}
