// The client worker of segmentio/kafka-go. The library has no idempotent producer: --idempotent is accepted and means
// at least once.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"crossover.test/worker"
	"github.com/segmentio/kafka-go"
)

func main() {
	worker.Main(worker.Client{NewProducer: newProducer, Consume: consume})
}

var errorLogger = log.New(os.Stderr, "kafka-go ", log.LstdFlags)

type producer struct {
	writer  *kafka.Writer
	options worker.Options
	report  *worker.Report
}

// sent travels with a message from Send to told.
type sent struct {
	partition int32
	n         int64
}

// The writer keeps one batch in flight per partition, so that retries keep the order.
func newProducer(options worker.Options, report *worker.Report) (worker.Producer, error) {
	acks := map[string]kafka.RequiredAcks{"all": kafka.RequireAll, "1": kafka.RequireOne, "0": kafka.RequireNone}
	p := &producer{options: options, report: report}
	p.writer = &kafka.Writer{
		Addr:         kafka.TCP(options.Bootstrap...),
		Topic:        options.Topic,
		RequiredAcks: acks[options.Acks],
		BatchTimeout: 10 * time.Millisecond, // the default of one second is for synchronous writes
		Balancer: kafka.BalancerFunc(func(message kafka.Message, _ ...int) int {
			return int(message.WriterData.(sent).partition)
		}),
		Async:       true,
		Completion:  p.told,
		ErrorLogger: errorLogger,
	}
	if options.Retries >= 0 {
		p.writer.MaxAttempts = options.Retries + 1
	}
	client := &kafka.Client{Addr: p.writer.Addr}
	_, err := client.Metadata(context.Background(), &kafka.MetadataRequest{Topics: []string{options.Topic}})
	return p, err
}

func (p *producer) Send(partition int32, n int64, value []byte) {
	message := kafka.Message{Value: value, WriterData: sent{partition, n}}
	if err := p.writer.WriteMessages(context.Background(), message); err != nil {
		p.report.Failed(partition, n, err)
	}
}

func (p *producer) told(messages []kafka.Message, err error) {
	for _, message := range messages {
		record := message.WriterData.(sent)
		switch {
		case err != nil:
			p.report.Failed(record.partition, record.n, err)
		case p.options.Acks == "0":
			p.report.Acked(record.partition, record.n, -1)
		default:
			p.report.Acked(record.partition, record.n, message.Offset)
		}
	}
}

func (p *producer) Close() {
	if err := p.writer.Close(); err != nil {
		p.report.Error(err)
	}
}

func consume(ctx context.Context, options worker.Options, report *worker.Report, ready func()) error {
	config := kafka.ReaderConfig{
		Brokers:        options.Bootstrap,
		GroupID:        options.Group,
		Topic:          options.Topic,
		StartOffset:    kafka.FirstOffset,
		CommitInterval: time.Second,
		MaxWait:        3 * time.Second, // an idle reader closes only when its fetch is answered; the default is 10 s
		Logger:         assignmentLogger(ready),
		ErrorLogger:    errorLogger,
	}
	if options.Isolation == "read_committed" {
		config.IsolationLevel = kafka.ReadCommitted
	}
	reader := kafka.NewReader(config)
	for {
		message, err := reader.ReadMessage(ctx)
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			report.Error(err)
			continue
		}
		report.Consumed(int32(message.Partition), message.Offset, message.Value)
	}
	return reader.Close()
}

// The reader tells of an assignment in its log alone.
func assignmentLogger(ready func()) kafka.LoggerFunc {
	var once sync.Once
	return func(format string, _ ...any) {
		if strings.HasPrefix(format, "subscribed to topics and partitions") {
			once.Do(ready)
		}
	}
}
