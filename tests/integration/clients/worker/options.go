package worker

import (
	"flag"
	"fmt"
	"os"
	"strings"
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
	if len(os.Args) < 2 || (os.Args[1] != "produce" && os.Args[1] != "consume") {
		usage("usage: worker produce|consume --bootstrap HOST:PORT[,..] --topic TOPIC --out FILE ...")
	}
	verb = os.Args[1]
	flags := flag.NewFlagSet(verb, flag.ExitOnError)
	bootstrap := flags.String("bootstrap", "", "HOST:PORT[,..]")
	flags.StringVar(&options.Topic, "topic", "", "")
	flags.StringVar(&options.out, "out", "", "file to append to")
	idempotent := "false"
	if verb == "produce" {
		flags.IntVar(&options.Partitions, "partitions", 1, "of the topic")
		flags.Float64Var(&options.Rate, "rate", 100, "records per second")
		flags.StringVar(&options.Acks, "acks", "all", "all, 1 or 0")
		flags.StringVar(&idempotent, "idempotent", "false", "true or false")
		flags.IntVar(&options.Retries, "retries", -1, "default: the library's")
		flags.StringVar(&options.ID, "id", "worker", "what values start with")
	} else {
		flags.StringVar(&options.Group, "group", "", "consumer group")
		flags.Bool("from-beginning", true, "accepted, and always so where the group has no commit")
		flags.StringVar(&options.Isolation, "isolation", "", "read_committed")
	}
	_ = flags.Parse(os.Args[2:]) // exits by itself on an error
	options.Bootstrap = strings.Split(*bootstrap, ",")
	options.Idempotent = idempotent == "true"
	switch {
	case *bootstrap == "" || options.Topic == "" || options.out == "":
		usage("--bootstrap, --topic and --out are needed")
	case verb == "consume" && options.Group == "":
		usage("--group is needed")
	case verb == "produce" && options.Acks != "all" && options.Acks != "1" && options.Acks != "0":
		usage("--acks is all, 1 or 0")
	case options.Idempotent && options.Acks != "all":
		usage("an idempotent producer needs --acks all")
	}
	return verb, options
}
