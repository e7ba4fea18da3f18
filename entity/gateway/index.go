package gateway

import (
	"net/http"
	"net/url"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/entity"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// describe tells how to use a type, with an example of each of its messages.
func describe(def entity.Definition) *apiv1.EntityType {
	t := &apiv1.EntityType{Name: def.Name()}
	for _, info := range open(def) {
		c := &apiv1.Command{
			Name: info.Short, Message: info.Name, Query: info.Query,
			Path:    root + "/" + url.PathEscape(def.Name()) + "/{id}/" + info.Short,
			Methods: []string{http.MethodPost},
			Example: example(info.NewCommand()), ReplyExample: example(info.NewReply()),
		}
		if info.Query {
			c.Methods = append(c.Methods, http.MethodGet)
		}
		t.Commands = append(t.Commands, c)
	}
	return t
}

// example fills a message and returns its JSON form; nil if it has none.
func example(msg proto.Message) *structpb.Value {
	fill(msg.ProtoReflect(), exampleDepth)
	text, err := protojson.Marshal(msg)
	if err != nil {
		return nil
	}
	v := new(structpb.Value)
	if err := protojson.Unmarshal(text, v); err != nil {
		return nil
	}
	return v
}

// exampleDepth ends messages that hold themselves.
const exampleDepth = 4

// fill gives each field a value; of fields that exclude each other, the first.
func fill(m protoreflect.Message, depth int) {
	if fillKnown(m) {
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if one := f.ContainingOneof(); one != nil && m.WhichOneof(one) != nil {
			continue
		}
		switch {
		case f.Message() != nil && depth == 0 && !f.IsMap():
		case f.IsMap():
			fillMap(m, f, depth)
		case f.IsList():
			list := m.Mutable(f).List()
			list.Append(value(f, list.NewElement, depth))
		default:
			m.Set(f, value(f, func() protoreflect.Value { return m.NewField(f) }, depth))
		}
	}
}

// fillKnown fills messages whose JSON form is not the list of their fields.
func fillKnown(m protoreflect.Message) bool {
	switch msg := m.Interface().(type) {
	case *timestamppb.Timestamp:
		proto.Merge(msg, timestamppb.New(time.Date(2030, 1, 2, 15, 4, 5, 0, time.UTC)))
	case *durationpb.Duration:
		proto.Merge(msg, durationpb.New(90*time.Second))
	case *structpb.Value:
		proto.Merge(msg, structpb.NewStringValue("text"))
	default:
		return m.Descriptor().FullName() == "google.protobuf.Any"
	}
	return true
}

func fillMap(m protoreflect.Message, f protoreflect.FieldDescriptor, depth int) {
	if f.MapValue().Message() != nil && depth == 0 {
		return
	}
	entries := m.Mutable(f).Map()
	key := value(f.MapKey(), nil, depth)
	entries.Set(key.MapKey(), value(f.MapValue(), entries.NewValue, depth))
}

// value is an example of a field's kind.
func value(f protoreflect.FieldDescriptor, newMessage func() protoreflect.Value, depth int) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		v := newMessage()
		fill(v.Message(), depth-1)
		return v
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("text")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("bytes"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(min(1, values.Len()-1)).Number())
	}
	return number(f.Kind())
}

func number(kind protoreflect.Kind) protoreflect.Value {
	switch kind {
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(1.5)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(1.5)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(1)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(1)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(1)
	}
	return protoreflect.ValueOfInt64(1)
}
