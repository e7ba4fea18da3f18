package gateway_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
)

// rpc is one line of a service: name, what it takes, what it returns.
type rpc struct {
	name, in, out string
	change        func(*descriptorpb.MethodDescriptorProto)
}

var (
	arm   = rpc{"Arm", "skerry.admin.v1.Timer", "skerry.admin.v1.Shard", nil}
	look  = rpc{"Look", "google.protobuf.FieldDescriptorProto", "skerry.api.v1.Command", nil}
	count = rpc{"Count", "google.protobuf.Empty", "google.protobuf.Int64Value", nil}
)

// describe makes the descriptor that protoc would make of a .proto file.
func describe(t testing.TB, name string, rpcs ...rpc) protoreflect.ServiceDescriptor {
	t.Helper()
	s := &descriptorpb.ServiceDescriptorProto{Name: proto.String(name)}
	for _, r := range rpcs {
		m := &descriptorpb.MethodDescriptorProto{Name: proto.String(r.name), InputType: proto.String("." + r.in), OutputType: proto.String("." + r.out)}
		if r.change != nil {
			r.change(m)
		}
		s.Method = append(s.Method, m)
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String(name + ".proto"), Package: proto.String("test.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{
			"skerry/admin/v1/admin.proto", "skerry/api/v1/api.proto", "google/protobuf/empty.proto",
			"google/protobuf/descriptor.proto", "google/protobuf/wrappers.proto",
		},
		Service: []*descriptorpb.ServiceDescriptorProto{s},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return file.Services().Get(0)
}

// timersService is the whole of the type timers as a service.
func timersService(t testing.TB) protoreflect.ServiceDescriptor {
	return describe(t, "Timers", arm, look, count)
}

func TestServiceThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	other := entity.Define[struct{}]("other",
		entity.Query(func(struct{}, entity.Command[*emptypb.Empty]) (*emptypb.Empty, error) { return nil, nil }))
	twin := entity.Define[struct{ Armed int64 }]("twin", entity.Query(countTimers))
	types := []entity.Definition{other, timers}
	for name, test := range map[string]struct {
		types    []entity.Definition
		services []protoreflect.ServiceDescriptor
		says     []string
	}{
		"another input":       {types, one(describe(t, "S", arm, rpc{"Bid", "skerry.admin.v1.Shard", "skerry.admin.v1.Shard", nil})), []string{"test.v1.S", `"timer"`, "rpc Bid takes skerry.admin.v1.Shard, which is none of its commands", "it lacks", "Empty, FieldDescriptorProto"}},
		"another output":      {types, one(describe(t, "S", arm, rpc{"Count", count.in, "skerry.admin.v1.Shard", nil})), []string{"rpc Count returns skerry.admin.v1.Shard, but Empty is answered with google.protobuf.Int64Value"}},
		"a stream":            {types, one(describe(t, "S", rpc{"Arm", arm.in, arm.out, func(m *descriptorpb.MethodDescriptorProto) { m.ServerStreaming = proto.Bool(true) }})), []string{"rpc Arm is a stream"}},
		"a command by GET":    {types, one(describe(t, "S", rpc{"Arm", arm.in, arm.out, noSideEffects})), []string{"rpc Arm says NO_SIDE_EFFECTS, but Timer is a command"}},
		"no rpc":              {types, one(describe(t, "S")), []string{"test.v1.S has no rpc"}},
		"of two types":        {types, one(describe(t, "S", arm, rpc{"Empty", count.in, count.in, nil})), []string{"fits no type"}},
		"twice":               {types, []protoreflect.ServiceDescriptor{describe(t, "S", arm), describe(t, "S", arm)}, []string{"names test.v1.S twice"}},
		"nil":                 {types, one(nil), []string{"holds nil"}},
		"fits two types":      {[]entity.Definition{timers, twin}, one(describe(t, "S", count)), []string{`fits the types "timer" and "twin"`}},
		"a type not in Types": {[]entity.Definition{other}, one(describe(t, "S", arm)), []string{`from "other" it differs in this: rpc Arm takes`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := gateway.New(gateway.Config{Caller: answering(nil), Types: test.types, Services: test.services, Logger: slog.New(slog.DiscardHandler)})
			for _, want := range test.says {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want an error with %q", err, want)
				}
			}
		})
	}
}

func one(s protoreflect.ServiceDescriptor) []protoreflect.ServiceDescriptor {
	return []protoreflect.ServiceDescriptor{s}
}

func noSideEffects(m *descriptorpb.MethodDescriptorProto) {
	m.Options = &descriptorpb.MethodOptions{IdempotencyLevel: descriptorpb.MethodOptions_NO_SIDE_EFFECTS.Enum()}
}

func TestServiceMayLeaveCommandsOutButItIsSaid(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	_, err := gateway.New(gateway.Config{
		Caller: answering(nil), Types: []entity.Definition{timers}, Services: one(describe(t, "S", arm, count)),
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil || !strings.Contains(log.String(), "FieldDescriptorProto") || strings.Contains(log.String(), "Empty") {
		t.Errorf("got %v and the log %q, want FieldDescriptorProto named as left out", err, &log)
	}
}
