// Prints every message at every version as franz-go's kmsg writes it. One row: api key, direction, version, variant,
// body in hex. Variants are those of ../java; kmsg is filled by reflection and decides itself what a version has.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const unknownTag = 300

// One record, producer id 99, epoch 1, first sequence 3: the batch that ../java uses.
const batch = "00000000000000000000003affffffff0283eb17690000000000000000018bcfe568000000018bcfe5680000000000000000630001000000030000000110000000026b027600"

type message interface {
	SetVersion(int16)
	IsFlexible() bool
	AppendTo([]byte) []byte
}

type filler struct {
	variant string
	counter int
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		request := kmsg.RequestForKey(key)
		if request == nil {
			continue
		}
		for version := firstVersion(key); version <= request.MaxVersion(); version++ {
			printAll(out, key, "request", version, func() message { return kmsg.RequestForKey(key) })
			printAll(out, key, "response", version, func() message { return kmsg.ResponseForKey(key) })
		}
	}
}

// Version 0 of the share group APIs was early access and is gone; Kafka has no schema for it any more.
func firstVersion(key int16) int16 {
	if key >= 76 && key <= 79 {
		return 1
	}
	return 0
}

func printAll(out *bufio.Writer, key int16, direction string, version int16, create func() message) {
	for _, variant := range []string{"full", "null", "tags", "default"} {
		body := create()
		body.SetVersion(version)
		if variant == "tags" && !body.IsFlexible() {
			continue
		}
		f := filler{variant: variant}
		value := reflect.ValueOf(body).Elem()
		setDefaults(value)
		if variant != "default" {
			f.structure(value)
		}
		fmt.Fprintf(out, "%d\t%s\t%d\t%s\t%s\n", key, direction, version, variant, hex.EncodeToString(body.AppendTo(nil)))
	}
}

func setDefaults(value reflect.Value) {
	if method := value.Addr().MethodByName("Default"); method.IsValid() {
		method.Call(nil)
	}
}

func (f *filler) structure(value reflect.Value) {
	for i := 0; i < value.NumField(); i++ {
		field := value.Field(i)
		switch name := value.Type().Field(i).Name; name {
		case "Version":
		case "UnknownTags":
			if f.variant == "tags" {
				field.Addr().Interface().(*kmsg.Tags).Set(unknownTag, []byte{0xf0, 0xf1, 0xf2})
			}
		default:
			f.set(name, field)
		}
	}
}

func (f *filler) set(name string, value reflect.Value) {
	switch value.Kind() {
	case reflect.Struct:
		setDefaults(value)
		f.structure(value)
	case reflect.Pointer:
		if f.variant == "null" {
			value.SetZero()
			return
		}
		value.Set(reflect.New(value.Type().Elem()))
		f.set(name, value.Elem())
	case reflect.Slice:
		f.slice(name, value)
	default:
		f.primitive(value)
	}
}

func (f *filler) slice(name string, value reflect.Value) {
	if f.variant == "null" {
		value.SetZero() // null where the version allows it, else empty
		return
	}
	if value.Type().Elem().Kind() == reflect.Uint8 {
		value.SetBytes(f.bytes(name))
		return
	}
	value.Set(reflect.MakeSlice(value.Type(), 2, 2))
	for i := 0; i < 2; i++ {
		f.set(name, value.Index(i))
	}
}

func (f *filler) bytes(name string) []byte {
	if name == "Records" || name == "RecordBatches" {
		records, err := hex.DecodeString(batch)
		if err != nil {
			panic(err)
		}
		return records
	}
	f.counter++
	return []byte{0xf0, 0xf1, 0xf2, 0xf3}[:f.counter%4+1]
}

func (f *filler) primitive(value reflect.Value) {
	f.counter++
	n := f.counter
	switch value.Kind() {
	case reflect.Bool:
		value.SetBool(!value.Bool())
	case reflect.Int8:
		value.SetInt(int64(n%120 + 1))
	case reflect.Int16:
		value.SetInt(int64(0x0100 + n))
	case reflect.Uint16:
		value.SetUint(uint64(0xff00 | n&0xff))
	case reflect.Int32:
		value.SetInt(int64(0x01000000 + n))
	case reflect.Uint32:
		value.SetUint(uint64(0xff000000 + n))
	case reflect.Int64:
		value.SetInt(0x0100000000000000 + int64(n))
	case reflect.Float64:
		value.SetFloat(float64(n) + 0.5)
	case reflect.String:
		value.SetString(text(n))
	case reflect.Array: // uuid
		for i := 0; i < value.Len(); i++ {
			value.Index(i).SetUint(uint64(n+i) & 0xff)
		}
	default:
		panic("no value for " + value.Type().String())
	}
}

// Some are longer than one byte of a varint can say, some have characters of several bytes.
func text(n int) string {
	if n%13 == 0 {
		return fmt.Sprintf("long-%d%s", n, strings.Repeat("-", 150))
	}
	if n%5 == 0 {
		return fmt.Sprintf("ü%d", n)
	}
	return fmt.Sprintf("s%d", n)
}
