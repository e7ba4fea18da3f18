package gateway

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// binaryType is what an answer may be asked for as, beside JSON.
const binaryType = "application/protobuf"

// paramCommand names the command whose answer is asked for. A stored reply does not tell which
// message it is, so the address of the answer does.
const paramCommand = "command"

// writeAccepted answers a command that runs on its own from here on. It promises nothing: only
// the answer below its Location does.
func writeAccepted(w http.ResponseWriter, t target, req *entity.Request) error {
	at := strings.Join([]string{root, segment(req.Type), segment(req.ID), replies, segment(req.Key.Name)}, "/") +
		"?" + paramCommand + "=" + url.QueryEscape(t.command.Short)
	h := w.Header()
	h.Set("Location", at)
	h.Set(headerApplied, respondAsync)
	return writeMessage(w, http.StatusAccepted, &apiv1.Accepted{Reply: at}, complete)
}

// segment escapes a text as one part of a path. The names "." and ".." mean other parts to servers, unless their dots are
// escaped too.
func segment(text string) string {
	if text == "." || text == ".." {
		return strings.ReplaceAll(text, ".", "%2E")
	}
	return url.PathEscape(text)
}

// lookUp writes the stored answer of an earlier command.
func (g *gateway) lookUp(w http.ResponseWriter, r *http.Request, t target) error {
	render, err := t.rendering(r)
	if err != nil {
		return err
	}
	wait, err := readTimeout(r.Header, g.Timeout)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	principal, err := g.principal(r)
	if err != nil {
		return err
	}
	req := &entity.Request{
		Type: t.typ, ID: t.id, Key: entity.CallerKey(t.key), Lookup: true, Principal: principal, Trace: readTrace(r.Header),
	}
	resp, err := g.ask(ctx, req)
	if err != nil {
		return ofCall(err, true)
	}
	return render(w, resp)
}

// rendering is how the client wants to see the answer: as protobuf, which is how it is
// stored, or as the JSON of the command's reply.
func (t *target) rendering(r *http.Request) (func(http.ResponseWriter, *entity.Response) error, error) {
	if acceptsBinary(r.Header) {
		return func(w http.ResponseWriter, resp *entity.Response) error {
			setReceipt(w.Header(), resp.Receipt)
			writeBytes(w, http.StatusOK, binaryType, resp.Payload)
			return nil
		}, nil
	}
	newReply, err := t.replyMessage(r)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter, resp *entity.Response) error {
		reply := newReply()
		if err := proto.Unmarshal(resp.Payload, reply); err != nil {
			return malformed("the answer is no %s: %s", reply.ProtoReflect().Descriptor().FullName(), protoText(err)).
				remedied("Name the command that was sent with this key, or ask with the header Accept: " + binaryType + ".")
		}
		setReceipt(w.Header(), resp.Receipt)
		return writeMessage(w, http.StatusOK, reply, complete)
	}, nil
}

// acceptsBinary tells whether a client asks for protobuf.
func acceptsBinary(h http.Header) bool {
	for _, line := range h.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			media, _, err := mime.ParseMediaType(part)
			if err == nil && slices.Contains([]string{binaryType, "application/x-protobuf"}, media) {
				return true
			}
		}
	}
	return false
}

// replyMessage finds the message of a stored reply: that of the command named in the URL,
// or the one that all commands of the type share.
func (t *target) replyMessage(r *http.Request) (func() proto.Message, error) {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, malformed("the URL's parameters cannot be read: %v", err)
	}
	names := params[paramCommand]
	switch {
	case len(names) > 1:
		return nil, malformed("the parameter %s is given %d times", paramCommand, len(names)).remedied("Give it once.")
	case len(names) == 1:
		info, err := t.served.named(t.typ, names[0])
		return info.NewReply, err
	case t.served.commonReply != nil:
		return t.served.commonReply, nil
	}
	p := malformed("commands of type %q have replies of several kinds, and a stored one does not tell its own", t.typ).
		remedied("Add ?" + paramCommand + "= with the command that was sent, as Location does, or ask with the header Accept: " + binaryType + ".")
	p.body.Known = t.served.names
	return nil, p
}
