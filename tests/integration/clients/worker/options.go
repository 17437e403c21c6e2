package worker

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Options are the command line of a worker, the same for every client library.
type Options struct {
	Bootstrap []string
	Topic     string

	// Of `produce`.
	Partitions int
	Rate       float64
	Acks       string // all, 1 or 0
	Idempotent bool
	Retries    int // -1: the library's default
	ID         string

	// Of `transform`, besides Group, ID and Partitions (of Output).
	Output     string
	Every      int           // records of a transaction at most
	Interval   time.Duration // from its first record to its end
	AbortEvery int           // each so-and-so-manyth is aborted on purpose; 0: none

	// Of `consume`.
	Group     string
	Isolation string // read_committed, or anything else for the library's default

	out string
}

func usage(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(2)
}

func parseOptions() (verb string, options Options) {
	if len(os.Args) < 2 || !slices.Contains([]string{"produce", "consume", "transform"}, os.Args[1]) {
		usage("usage: worker produce|consume|transform --bootstrap HOST:PORT[,..] --topic TOPIC --out FILE ...")
	}
	verb = os.Args[1]
	flags := flag.NewFlagSet(verb, flag.ExitOnError)
	bootstrap := flags.String("bootstrap", "", "HOST:PORT[,..]")
	flags.StringVar(&options.Topic, "topic", "", "")
	flags.StringVar(&options.out, "out", "", "file to append to")
	idempotent, interval := "false", int64(0)
	switch verb {
	case "produce":
		flags.IntVar(&options.Partitions, "partitions", 1, "of the topic")
		flags.Float64Var(&options.Rate, "rate", 100, "records per second")
		flags.StringVar(&options.Acks, "acks", "all", "all, 1 or 0")
		flags.StringVar(&idempotent, "idempotent", "false", "true or false")
		flags.IntVar(&options.Retries, "retries", -1, "default: the library's")
		flags.StringVar(&options.ID, "id", "worker", "what values start with")
	case "transform":
		flags.StringVar(&options.Group, "group", "", "consumer group")
		flags.StringVar(&options.Output, "output", "", "topic to write to")
		flags.IntVar(&options.Partitions, "partitions", 1, "of the topic to write to")
		flags.StringVar(&options.ID, "id", "worker", "transactional id")
		flags.IntVar(&options.Every, "every", 100, "records of a transaction")
		flags.Int64Var(&interval, "interval", 200, "milliseconds of a transaction")
		flags.IntVar(&options.AbortEvery, "abort-every", 0, "aborted on purpose; 0: none")
	default:
		flags.StringVar(&options.Group, "group", "", "consumer group")
		flags.Bool("from-beginning", true, "accepted, and always so where the group has no commit")
		flags.StringVar(&options.Isolation, "isolation", "", "read_committed")
	}
	_ = flags.Parse(os.Args[2:]) // exits by itself on an error
	options.Bootstrap = strings.Split(*bootstrap, ",")
	options.Idempotent = idempotent == "true"
	options.Interval = time.Duration(interval) * time.Millisecond
	switch {
	case *bootstrap == "" || options.Topic == "" || options.out == "":
		usage("--bootstrap, --topic and --out are needed")
	case verb != "produce" && options.Group == "":
		usage("--group is needed")
	case verb == "transform" && options.Output == "":
		usage("--output is needed")
	case verb == "produce" && options.Acks != "all" && options.Acks != "1" && options.Acks != "0":
		usage("--acks is all, 1 or 0")
	case options.Idempotent && options.Acks != "all":
		usage("an idempotent producer needs --acks all")
	}
	return verb, options
}
