package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/skerryhq/skerry/entity"
)

// contentType is all that the gateway reads and writes.
const contentType = "application/json"

// encoding is deterministic so that a repeat of a command is the same command.
var encoding = proto.MarshalOptions{Deterministic: true}

// readMessage reads a command from the body, or a query from the URL, and encodes it.
func readMessage(r *http.Request, body io.Reader, command entity.CommandInfo) ([]byte, error) {
	msg := command.NewCommand()
	params, err := url.ParseQuery(r.URL.RawQuery)
	switch {
	case err != nil:
		return nil, malformed("the URL's parameters cannot be read: %v", err)
	case r.Method != http.MethodPost:
		err = fromParameters(params, msg)
	case len(params) > 0:
		err = malformed("parameters in the URL are for GET; a POST has its fields in the body").
			remedied("Send them as JSON in the body.")
	default:
		err = fromBody(r, body, msg)
	}
	if err != nil {
		return nil, err
	}
	payload, err := encoding.Marshal(msg)
	if err != nil {
		return nil, malformed("%s: %s", command.Name, protoText(err))
	}
	return payload, nil
}

func fromBody(r *http.Request, from io.Reader, msg proto.Message) error {
	body, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	if err := checkContentType(r.Header, len(body)); err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	return fromJSON(body, msg)
}

// checkContentType wants JSON to be called so. That also keeps pages of other
// origins out: a browser sends this type across origins only with leave.
func checkContentType(h http.Header, size int) error {
	text, given, err := single(h, "Content-Type")
	if err != nil {
		return err
	}
	if !given && size == 0 {
		return nil
	}
	if media, params, err := mime.ParseMediaType(text); err == nil && media == contentType {
		if charset := params["charset"]; charset == "" || strings.EqualFold(charset, "utf-8") {
			return nil
		}
	}
	return refuse(http.StatusUnsupportedMediaType, codeMediaType, "the body is of type %s; only %s in UTF-8 is read", quoted(text), contentType).
		remedied("Send the header Content-Type: " + contentType + " (curl --json does).")
}

func fromJSON(text []byte, msg proto.Message) error {
	if err := protojson.Unmarshal(text, msg); err != nil {
		name := msg.ProtoReflect().Descriptor().FullName()
		return malformed("the JSON is no %s: %s", name, protoText(err)).
			remedied("See GET " + root + " for an example of each command.")
	}
	return nil
}

// fromParameters fills fields of single values, by their name in JSON or in the
// .proto file. What a text means is left to the JSON form of the message.
func fromParameters(params url.Values, msg proto.Message) error {
	if len(params) == 0 {
		return nil
	}
	fields := msg.ProtoReflect().Descriptor().Fields()
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		field := fields.ByJSONName(name)
		if field == nil {
			field = fields.ByName(protoreflect.Name(name))
		}
		if field == nil {
			return malformed("the query %s has no parameter %s", msg.ProtoReflect().Descriptor().FullName(), quoted(name)).
				remedied("See GET " + root + " for its fields.")
		}
		if _, twice := object[field.JSONName()]; twice {
			return malformed("the parameter %s is given under two names", field.Name()).remedied("Give it once.")
		}
		value, err := parameter(field, params[name])
		if err != nil {
			return err
		}
		if err := fromObject(map[string]any{field.JSONName(): value}, msg.ProtoReflect().New().Interface()); err != nil {
			return malformed("the parameter %s is %s, which is no %s", name, quoted(strings.Join(params[name], ", ")), kindOf(field)).
				remedied("Correct the parameter; see GET " + root + " for an example of each query.")
		}
		object[field.JSONName()] = value
	}
	if err := fromObject(object, msg); err != nil {
		return malformed("the parameters together are no %s: %s", msg.ProtoReflect().Descriptor().FullName(), protoText(err)).
			remedied("Of parameters that exclude each other, give one.")
	}
	return nil
}

// fromObject fills a message with the values of its fields in JSON.
func fromObject(fields map[string]any, msg proto.Message) error {
	text, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(text, msg)
}

// kindOf names what a field takes as the .proto file does.
func kindOf(field protoreflect.FieldDescriptor) string {
	switch {
	case field.Message() != nil:
		return string(field.Message().FullName())
	case field.Enum() != nil:
		return string(field.Enum().FullName())
	}
	return field.Kind().String()
}

func parameter(field protoreflect.FieldDescriptor, values []string) (any, error) {
	if field.IsMap() || (field.Message() != nil && !hasTextForm(field.Message())) {
		return nil, malformed("the parameter %s is no single value, so it cannot be given in a URL", field.Name()).
			remedied("Send the query by POST, with a JSON body.")
	}
	if !field.IsList() {
		if len(values) != 1 {
			return nil, malformed("the parameter %s is given %d times", field.Name(), len(values)).remedied("Give it once.")
		}
		return literal(field, values[0]), nil
	}
	var list []any
	for _, v := range values {
		list = append(list, literal(field, v))
	}
	return list, nil
}

// hasTextForm tells whether the JSON form of a message is one value.
func hasTextForm(d protoreflect.MessageDescriptor) bool {
	switch d.FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask":
		return true
	}
	return false
}

// literal returns a parameter as the JSON form wants it. Numbers may be strings
// there, true and false may not.
func literal(field protoreflect.FieldDescriptor, text string) any {
	switch field.Kind() {
	case protoreflect.BoolKind:
		if text == "true" || text == "false" {
			return text == "true"
		}
	case protoreflect.EnumKind:
		if n := json.Number(text); isInteger(n) {
			return n
		}
	}
	return text
}

func isInteger(n json.Number) bool {
	_, err := n.Int64()
	return err == nil && json.Valid([]byte(n))
}

// protoText takes the library's name and its random kind of space out of an error.
func protoText(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.TrimSpace(strings.TrimPrefix(text, "proto:"))
}
