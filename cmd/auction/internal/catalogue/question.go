package catalogue

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// protoName is the name of a field of a question, as in a path or a query string.
type protoName = protoreflect.Name

// readQuestion fills a message from a request: the field that is named in the path, all others
// from the query string. What no field is called is refused: a slip would be a wrong answer.
func readQuestion(r *http.Request, into proto.Message, named protoName) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return malformed("the query string cannot be read: %v", err)
	}
	m := into.ProtoReflect()
	for name, given := range values {
		field := m.Descriptor().Fields().ByName(protoName(name))
		if field == nil || protoName(name) == named {
			return malformed("there is no parameter %q: there are %s", name, parameters(m.Descriptor(), named))
		}
		if len(given) != 1 {
			return malformed("the parameter %s is given %d times", name, len(given))
		}
		value, err := parse(field, given[0])
		if err != nil {
			return malformed("the parameter %s is %q: %v", name, given[0], err)
		}
		m.Set(field, value)
	}
	if named == "" {
		return nil
	}
	field := m.Descriptor().Fields().ByName(named)
	value, err := parse(field, r.PathValue(string(named)))
	if err != nil {
		return malformed("the %s in the path: %v", named, err)
	}
	m.Set(field, value)
	return nil
}

// parse reads a value of one of the kinds that questions have.
func parse(field protoreflect.FieldDescriptor, text string) (protoreflect.Value, error) {
	switch field.Kind() {
	case protoreflect.BoolKind:
		v, err := strconv.ParseBool(text)
		return protoreflect.ValueOfBool(v), err
	case protoreflect.Int32Kind:
		v, err := strconv.ParseInt(text, 10, 32)
		return protoreflect.ValueOfInt32(int32(v)), err
	default:
		if !utf8.ValidString(text) {
			return protoreflect.Value{}, errors.New("it is not valid UTF-8")
		}
		return protoreflect.ValueOfString(text), nil
	}
}

func parameters(of protoreflect.MessageDescriptor, named protoName) (names []string) {
	for i := range of.Fields().Len() {
		if name := of.Fields().Get(i).Name(); name != named {
			names = append(names, string(name))
		}
	}
	return names
}
