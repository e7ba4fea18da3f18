package entitytest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// meaning prints a value as lines "path = value" so that two values that mean the same look the same.
func meaning(v any) []string { return linesOf(v, true) }

// memory prints all that is reachable from a value, so that any change shows.
func memory(v any) []string { return linesOf(v, false) }

func linesOf(v any, meaning bool) []string {
	p := printer{meaning: meaning, seen: map[uintptr]bool{}}
	p.print("", reflect.ValueOf(v))
	return p.lines
}

// difference names the first place where two prints differ; "" if none does.
func difference(a, b []string, nameA, nameB string) string {
	for i := range max(len(a), len(b)) {
		lineA, lineB := "(nothing)", "(nothing)"
		if i < len(a) {
			lineA = a[i]
		}
		if i < len(b) {
			lineB = b[i]
		}
		if lineA != lineB {
			return fmt.Sprintf("\n  %s: %s\n  %s: %s", nameA, lineA, nameB, lineB)
		}
	}
	return ""
}

// printer walks a value. It only reads, and reads unexported fields too.
type printer struct {
	meaning bool
	seen    map[uintptr]bool // pointers on the way from the root
	lines   []string
}

func (p *printer) add(path, format string, args ...any) {
	p.lines = append(p.lines, strings.TrimPrefix(path, ".")+" = "+fmt.Sprintf(format, args...))
}

func (p *printer) print(path string, v reflect.Value) {
	if !v.IsValid() {
		p.add(path, "nil")
		return
	}
	if p.special(path, v) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		p.pointer(path, v)
	case reflect.Struct:
		for i := range v.NumField() {
			if !isInternal(v.Type().Field(i).Type) {
				p.print(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		p.add(path, "%d elements", v.Len())
		for i := range v.Len() {
			p.print(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
	case reflect.Map:
		p.mapping(path, v)
	default:
		p.add(path, "%s", scalar(v))
	}
}

// special prints the types whose meaning is not the sum of their fields.
func (p *printer) special(path string, v reflect.Value) bool {
	if !v.CanInterface() || v.Kind() == reflect.Pointer && v.IsNil() {
		return false
	}
	switch x := v.Interface().(type) {
	case time.Time:
		p.add(path, "%s", x.UTC().Format(time.RFC3339Nano))
	case proto.Message:
		p.add(path, "%s{%s}", x.ProtoReflect().Descriptor().FullName(), prototext.MarshalOptions{AllowPartial: true}.Format(x))
	case json.Marshaler:
		if !p.meaning {
			return false
		}
		b, err := x.MarshalJSON()
		p.add(path, "%s (%v)", b, err)
	default:
		return false
	}
	return true
}

func (p *printer) pointer(path string, v reflect.Value) {
	if v.IsNil() {
		p.add(path, "nil")
		return
	}
	if v.Kind() == reflect.Pointer {
		if p.seen[v.Pointer()] {
			p.add(path, "a cycle")
			return
		}
		p.seen[v.Pointer()] = true
		defer delete(p.seen, v.Pointer())
	}
	p.print(path, v.Elem())
}

func (p *printer) mapping(path string, v reflect.Value) {
	p.add(path, "%d keys", v.Len())
	type pair struct {
		key   string
		value reflect.Value
	}
	var pairs []pair
	for it := v.MapRange(); it.Next(); {
		k := printer{meaning: p.meaning, seen: p.seen}
		k.print("", it.Key())
		pairs = append(pairs, pair{strings.TrimPrefix(strings.Join(k.lines, ","), " = "), it.Value()})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	for _, kv := range pairs {
		p.print(fmt.Sprintf("%s[%s]", path, kv.key), kv.value)
	}
}

func scalar(v reflect.Value) string {
	switch {
	case v.CanInt():
		return fmt.Sprint(v.Int())
	case v.CanUint():
		return fmt.Sprint(v.Uint())
	case v.CanFloat():
		return fmt.Sprint(v.Float())
	case v.CanComplex():
		return fmt.Sprint(v.Complex())
	case v.Kind() == reflect.Bool:
		return fmt.Sprint(v.Bool())
	case v.Kind() == reflect.String:
		return fmt.Sprintf("%q", v.String())
	default: // functions and channels: the same one or not
		return fmt.Sprintf("%s %x", v.Type(), v.Pointer())
	}
}

// isInternal tells the bookkeeping of generated messages from their content.
func isInternal(t reflect.Type) bool {
	return strings.HasPrefix(t.PkgPath(), "google.golang.org/protobuf/internal/")
}
