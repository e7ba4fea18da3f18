package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
)

// writeReply writes the answer to a command. The command is done by now: what fails
// from here on leaves its outcome unknown to the client.
func writeReply(w http.ResponseWriter, t target, req *entity.Request, resp *entity.Response) error {
	reply := t.command.NewReply()
	if err := proto.Unmarshal(resp.Payload, reply); err != nil {
		return defect("the reply to %s cannot be read: %s", req.Command, protoText(err))
	}
	setReceipt(w.Header(), resp.Receipt)
	status := http.StatusOK
	if t.id == "" && resp.Receipt.Version > 0 {
		status = http.StatusCreated
	}
	return writeMessage(w, status, reply, complete)
}

// setReceipt tells a receipt in headers.
func setReceipt(h http.Header, r entity.Receipt) {
	h.Set("ETag", etag(r.Version))
	if token := r.Token.String(); token != "" {
		h.Set(headerToken, token)
	}
	if r.Repeated {
		h.Set(headerRepeated, "true")
	}
}

func etag(version uint64) string { return `"` + strconv.FormatUint(version, 10) + `"` }

var (
	// complete shows zero fields too, so that a reader sees all there is.
	complete = protojson.MarshalOptions{EmitDefaultValues: true}
	sparing  = protojson.MarshalOptions{}
)

// writeMessage writes a message as JSON: the same message gives the same bytes.
func writeMessage(w http.ResponseWriter, status int, msg proto.Message, form protojson.MarshalOptions) error {
	text, err := stableJSON(msg, form)
	if err != nil {
		return defect("%s cannot be written as JSON: %s", msg.ProtoReflect().Descriptor().FullName(), protoText(err))
	}
	writeBytes(w, status, contentType, text)
	return nil
}

func writeBytes(w http.ResponseWriter, status int, mediaType string, content []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(content) // whoever hung up does not miss it
}

// stableJSON removes the spaces that protojson strews at random.
func stableJSON(msg proto.Message, form protojson.MarshalOptions) ([]byte, error) {
	text, err := form.Marshal(msg)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
