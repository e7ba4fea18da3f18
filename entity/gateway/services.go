package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/skerryhq/skerry/entity"
)

// procedure is one rpc that is served.
type procedure struct {
	http.Handler
	// typ and command are what it stands for; empty for the one that reaches all types.
	typ     string
	command entity.CommandInfo
}

// isProcedure tells whether a path looks like that of an rpc: /package.Service/Method.
func isProcedure(path string) bool {
	service, method, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return ok && protoreflect.FullName(service).IsValid() && strings.Contains(service, ".") && protoreflect.Name(method).IsValid()
}

// add serves a service of protobuf, if it fits a type.
func (g *gateway) add(service protoreflect.ServiceDescriptor) error {
	if service == nil {
		return fmt.Errorf("gateway: Config.Services holds nil")
	}
	def, err := g.typeOf(service)
	if err != nil {
		return err
	}
	methods := service.Methods()
	for i := range methods.Len() {
		rpc := methods.Get(i)
		path := "/" + string(service.FullName()) + "/" + string(rpc.Name())
		if g.procedures[path] != nil {
			return fmt.Errorf("gateway: Config.Services names %s twice", service.FullName())
		}
		g.procedures[path] = g.typed(path, rpc, def.Name(), commandOf(def, rpc))
	}
	if lacks := missing(def, service); len(lacks) > 0 {
		g.Logger.Info("a service leaves out commands of its type", "service", string(service.FullName()), "type", def.Name(), "commands", lacks)
	}
	return nil
}

// typeOf finds the one type that answers all rpcs of a service.
func (g *gateway) typeOf(service protoreflect.ServiceDescriptor) (entity.Definition, error) {
	if service.Methods().Len() == 0 {
		return nil, fmt.Errorf("gateway: the service %s has no rpc", service.FullName())
	}
	var fits []entity.Definition
	var names []string
	for _, def := range g.Types {
		if len(differences(def, service)) == 0 {
			fits, names = append(fits, def), append(names, fmt.Sprintf("%q", def.Name()))
		}
	}
	switch len(fits) {
	case 0:
		return nil, g.misfit(service)
	case 1:
		return fits[0], nil
	}
	return nil, fmt.Errorf("gateway: the service %s fits the types %s: one service can serve one of them", service.FullName(), strings.Join(names, " and "))
}

// misfit tells how a service differs from the type that it was probably meant for.
func (g *gateway) misfit(service protoreflect.ServiceDescriptor) error {
	def := slices.MaxFunc(g.Types, func(a, b entity.Definition) int { return known(a, service) - known(b, service) })
	text := strings.Join(differences(def, service), "; ")
	if lacks := missing(def, service); len(lacks) > 0 {
		text += "; it lacks " + strings.Join(lacks, ", ")
	}
	return fmt.Errorf("gateway: the service %s fits no type of Config.Types; from %q it differs in this: %s", service.FullName(), def.Name(), text)
}

// known counts the rpcs of a service that take a command of a type.
func known(def entity.Definition, service protoreflect.ServiceDescriptor) (n int) {
	methods := service.Methods()
	for i := range methods.Len() {
		if commandOf(def, methods.Get(i)).Name != "" {
			n++
		}
	}
	return n
}

// differences names each rpc that is no command or query of a type, and why.
func differences(def entity.Definition, service protoreflect.ServiceDescriptor) (wrong []string) {
	methods := service.Methods()
	for i := range methods.Len() {
		rpc := methods.Get(i)
		if why := difference(def, rpc); why != "" {
			wrong = append(wrong, fmt.Sprintf("rpc %s %s", rpc.Name(), why))
		}
	}
	return wrong
}

func difference(def entity.Definition, rpc protoreflect.MethodDescriptor) string {
	command := commandOf(def, rpc)
	if command.Name == "" {
		return fmt.Sprintf("takes %s, which is none of its commands", rpc.Input().FullName())
	}
	reply := command.NewReply().ProtoReflect().Descriptor().FullName()
	switch {
	case rpc.IsStreamingClient() || rpc.IsStreamingServer():
		return "is a stream; a command has one request and one reply"
	case rpc.Output().FullName() != reply:
		return fmt.Sprintf("returns %s, but %s is answered with %s", rpc.Output().FullName(), command.Short, reply)
	case hasNoSideEffects(rpc) && !command.Query:
		return fmt.Sprintf("says NO_SIDE_EFFECTS, but %s is a command", command.Short)
	}
	return ""
}

// commandOf returns the command that an rpc takes; the zero value if the type has none.
func commandOf(def entity.Definition, rpc protoreflect.MethodDescriptor) entity.CommandInfo {
	for _, info := range open(def) {
		if info.Name == string(rpc.Input().FullName()) {
			return info
		}
	}
	return entity.CommandInfo{}
}

// hasNoSideEffects tells what the .proto file says; clients may then ask by GET.
func hasNoSideEffects(rpc protoreflect.MethodDescriptor) bool {
	options, ok := rpc.Options().(*descriptorpb.MethodOptions)
	return ok && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}

// missing names the commands of a type that a service leaves out.
func missing(def entity.Definition, service protoreflect.ServiceDescriptor) (lacks []string) {
	var takes []string
	methods := service.Methods()
	for i := range methods.Len() {
		takes = append(takes, string(methods.Get(i).Input().FullName()))
	}
	for _, info := range open(def) {
		if !slices.Contains(takes, info.Name) {
			lacks = append(lacks, info.Short)
		}
	}
	return lacks
}
