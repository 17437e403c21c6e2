// Package worker is what the Go clients of the end to end tests share: the command line, the pace and the report.
package worker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	valueSize = 100
	tick      = 5 * time.Millisecond
	// After a pause of the library no more than this is caught up: a flood would measure the flood.
	debtMax = time.Second
)

// Producer sends records asynchronously.
type Producer interface {
	// Send hands a record to the library, which tells the report of its fate. It may block when the library does.
	Send(partition int32, n int64, value []byte)
	// Close returns when the fate of every record is told.
	Close()
}

// Client is one library: how it makes a connected producer, and how it consumes until the context ends.
type Client struct {
	NewProducer func(Options, *Report) (Producer, error)
	Consume     func(ctx context.Context, options Options, report *Report, ready func()) error
	Transform   func(ctx context.Context, options Options, report *Report, ready func()) error // nil: has no transactions
}

// Main runs a worker until SIGTERM, SIGINT or the end of a piped standard input.
func Main(client Client) {
	verb, options := parseOptions()
	report := openReport(options.out)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	go func() {
		waitForEndOfInput()
		stop()
	}()
	// A second signal ends a worker whose library does not come to an end.
	context.AfterFunc(ctx, stop)

	var err error
	switch {
	case verb == "produce":
		err = produce(ctx, client, options, report)
	case verb == "consume":
		err = client.Consume(ctx, options, report, ready)
	case client.Transform != nil:
		err = client.Transform(ctx, options, report, ready)
	default:
		usage("this worker has no transactions")
	}
	if err != nil {
		report.Error(err)
		fmt.Fprintln(os.Stderr, err)
	}
	report.flush()
	if err != nil {
		os.Exit(1)
	}
}

// waitForEndOfInput waits for ever unless a parent holds the other end: a worker started with no input shall run.
func waitForEndOfInput() {
	if info, err := os.Stdin.Stat(); err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		select {}
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func ready() {
	fmt.Println("READY")
}

func produce(ctx context.Context, client Client, options Options, report *Report) error {
	producer, err := client.NewProducer(options, report)
	if err != nil {
		return err
	}
	ready()
	pace(ctx, options, func(i int64) {
		partition, n := i%int64(options.Partitions), i/int64(options.Partitions)
		producer.Send(int32(partition), n, value(options.ID, partition, n))
	})
	producer.Close()
	return nil
}

// pace calls send with 0, 1, 2.. at the rate asked for.
func pace(ctx context.Context, options Options, send func(i int64)) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	due, sent, last := 0.0, int64(0), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			due += min(now.Sub(last), debtMax).Seconds() * options.Rate
			last = now
			for ; float64(sent) < due && ctx.Err() == nil; sent++ {
				send(sent)
			}
		}
	}
}

// Transformed is what a transaction writes for a record that it read, and to which partition.
func Transformed(options Options, partition int32, read []byte, transaction int64) (int32, []byte, error) {
	text, _, _ := strings.Cut(string(read), "|")
	n, err := strconv.ParseInt(text[strings.LastIndex(text, ":")+1:], 10, 64)
	if err != nil {
		return 0, nil, err
	}
	written := fmt.Sprintf("%s/%s.%d|", text, options.ID, transaction)
	return int32((int64(partition) + n) % int64(options.Partitions)), fmt.Appendf(nil, "%-*s", valueSize, written), nil
}

func value(id string, partition, n int64) []byte {
	text := fmt.Appendf(make([]byte, 0, valueSize), "%s:%d:%d|", id, partition, n)
	return append(text, bytes.Repeat([]byte{' '}, max(0, valueSize-len(text)))...)
}
