package worker

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

const flushInterval = 100 * time.Millisecond

// Report is the worker's output file. Its methods may be called from any goroutine.
type Report struct {
	mutex sync.Mutex
	lines *bufio.Writer
}

func openReport(path string) *Report {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		usage(err.Error())
	}
	report := &Report{lines: bufio.NewWriterSize(file, 64<<10)}
	go func() {
		for range time.Tick(flushInterval) {
			report.flush()
		}
	}()
	return report
}

func (r *Report) flush() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if err := r.lines.Flush(); err != nil {
		// Lines that are missing would be taken for records that are missing.
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (r *Report) line(format string, values ...any) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	fmt.Fprintf(r.lines, format, values...)
}

// Acked tells that a record was acknowledged; offset -1 if it was not told where.
func (r *Report) Acked(partition int32, n, offset int64) {
	r.line("A %d %d %d\n", partition, n, offset)
}

// Failed tells that the library gave a record up.
func (r *Report) Failed(partition int32, n int64, err error) {
	r.line("F %d %d %s\n", partition, n, oneLine(err))
}

// Error tells of an error that the library handed to the application and that is not one record's failure.
func (r *Report) Error(err error) {
	r.line("E %s\n", oneLine(err))
}

// Consumed tells of a record that the library delivered; the padding of its value is left out.
func (r *Report) Consumed(partition int32, offset int64, value []byte) {
	text, _, _ := strings.Cut(string(value), "|")
	r.line("C %d %d %s\n", partition, offset, text)
}

// Transaction tells how a transaction of so many records ended: committed, aborted on purpose, or undone.
func (r *Report) Transaction(number int64, outcome string, records int) {
	r.line("T %d %s %d\n", number, outcome, records)
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
