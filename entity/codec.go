package entity

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"reflect"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// codec stores a state in snapshots. The fingerprint names codec and shape: a
// snapshot with another one is ignored and the entity rebuilt from its events.
type codec[S any] struct {
	fingerprint string
	// initial makes the state of a new entity; no two share memory.
	initial func() S
	encode  func(S) ([]byte, error)
	decode  func([]byte) (S, error)
	// show renders a state for people.
	show func(S) ([]byte, error)
}

// codecFor picks protobuf for messages and JSON for anything else.
func codecFor[S any](name string) codec[S] {
	var zero S
	if m, ok := any(zero).(proto.Message); ok {
		return protoCodec[S](m)
	}
	if err := checkJSON(reflect.TypeFor[S](), map[reflect.Type]bool{}, "state"); err != nil {
		panic(fmt.Sprintf("entity: Define(%q): %v", name, err))
	}
	return jsonCodec[S]()
}

func jsonCodec[S any]() codec[S] {
	h := sha256.New()
	shapeOf(h, reflect.TypeFor[S](), map[reflect.Type]bool{})
	return codec[S]{
		fingerprint: "json:" + hex.EncodeToString(h.Sum(nil)[:12]),
		initial:     func() (zero S) { return zero },
		encode:      func(s S) ([]byte, error) { return json.Marshal(s) },
		decode: func(b []byte) (s S, err error) {
			err = json.Unmarshal(b, &s)
			return s, err
		},
		show: func(s S) ([]byte, error) { return json.Marshal(s) },
	}
}

func protoCodec[S any](m proto.Message) codec[S] {
	h := sha256.New()
	hashMessage(h, m.ProtoReflect().Descriptor(), map[protoreflect.FullName]bool{})
	return codec[S]{
		fingerprint: "proto:" + hex.EncodeToString(h.Sum(nil)[:12]),
		initial:     func() S { return m.ProtoReflect().New().Interface().(S) },
		encode:      func(s S) ([]byte, error) { return encoding.Marshal(any(s).(proto.Message)) },
		decode: func(b []byte) (S, error) {
			s := m.ProtoReflect().New().Interface()
			err := proto.Unmarshal(b, s)
			return s.(S), err
		},
		show: func(s S) ([]byte, error) { return protojson.Marshal(any(s).(proto.Message)) },
	}
}

// hashMessage writes the shape of a message and of all messages in it.
func hashMessage(w io.Writer, d protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) {
	if seen[d.FullName()] {
		return
	}
	seen[d.FullName()] = true
	b, err := encoding.Marshal(protodesc.ToDescriptorProto(d))
	if err != nil {
		panic(fmt.Sprintf("entity: describe %s: %v", d.FullName(), err))
	}
	_, _ = fmt.Fprintf(w, "%s %x\n", d.FullName(), b)
	for i := range d.Fields().Len() {
		if sub := d.Fields().Get(i).Message(); sub != nil {
			hashMessage(w, sub, seen)
		}
	}
}

// shapeOf writes the names and types that JSON would use.
func shapeOf(w io.Writer, t reflect.Type, seen map[reflect.Type]bool) {
	_, _ = fmt.Fprintf(w, "%s ", t)
	if seen[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		if t.Kind() == reflect.Map {
			shapeOf(w, t.Key(), seen)
		}
		shapeOf(w, t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			_, _ = fmt.Fprintf(w, "{%s %q ", f.Name, f.Tag.Get("json"))
			shapeOf(w, f.Type, seen)
			_, _ = fmt.Fprint(w, "}")
		}
	}
}

var jsonMarshaler = reflect.TypeFor[json.Marshaler]()

// checkJSON refuses states that JSON would silently lose a part of.
func checkJSON(t reflect.Type, seen map[reflect.Type]bool, path string) error {
	if seen[t] || t.Implements(jsonMarshaler) || reflect.PointerTo(t).Implements(jsonMarshaler) {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128, reflect.Interface:
		return fmt.Errorf("%s is a %s, which a JSON snapshot cannot hold", path, t.Kind())
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return checkJSON(t.Elem(), seen, path)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() && !f.Anonymous {
				return fmt.Errorf("%s.%s is not exported, so a JSON snapshot would lose it: export it or use a protobuf message as the state", path, f.Name)
			}
			if f.Tag.Get("json") == "-" {
				return fmt.Errorf(`%s.%s has the tag json:"-", so a snapshot would lose it`, path, f.Name)
			}
			if err := checkJSON(f.Type, seen, path+"."+f.Name); err != nil {
				return err
			}
		}
	}
	return nil
}
