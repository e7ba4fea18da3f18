package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// ways sends one command on each way there is, and tells whether the answer is that of an earlier one.
type ways struct {
	service
	cmd *adminv1.Timer
}

// outcome is an answer, in the terms that all ways have.
type outcome struct {
	reply    *adminv1.Shard
	token    string
	version  string
	repeated bool
	code     string // of a rejection
}

type way func(w ways, t *testing.T, id, key string) outcome

func allWays() map[string]way {
	all := map[string]way{
		"REST": ways.rest, "Entities/Call": overCall("skerry.admin.v1.Timer"), "Entities/Call, short name": overCall("Timer"), "Dial": ways.dial,
	}
	for name, options := range protocols {
		if name != "Connect by GET" {
			all[name] = overRPC(options)
		}
	}
	return all
}

// rest writes the fields in an order of its own, and leaves the client's freedom in the form of numbers and names.
func (w ways) rest(t *testing.T, id, key string) outcome {
	body := fmt.Sprintf(`{"attempts": %d, "last_error": %q, "due": "2026-03-01T13:00:00+01:00", "name": %q}`, w.cmd.GetAttempts(), w.cmd.GetLastError(), w.cmd.GetName())
	got := w.send(t, "POST", "/v1/entities/timer/"+url.PathEscape(id)+"/Timer", body, "Idempotency-Key: "+key)
	if got.status != http.StatusOK {
		return outcome{code: got.body}
	}
	reply := &adminv1.Shard{}
	if err := protojson.Unmarshal([]byte(got.body), reply); err != nil {
		t.Fatal(err)
	}
	return outcome{reply, got.header.Get("Skerry-Token"), got.header.Get("ETag"), got.header.Get("Skerry-Repeated") == "true", ""}
}

func overRPC(options []connect.ClientOption) way {
	return func(w ways, t *testing.T, id, key string) outcome {
		req := connect.NewRequest(w.cmd)
		req.Header().Set("Skerry-Entity-Id", id)
		req.Header().Set("Idempotency-Key", key)
		resp, err := armClient(h2c(t), w.url, options...).CallUnary(t.Context(), req)
		if err != nil {
			return outcome{code: err.Error()}
		}
		h := resp.Header()
		return outcome{resp.Msg, h.Get("Skerry-Token"), h.Get("ETag"), h.Get("Skerry-Repeated") == "true", ""}
	}
}

func overCall(command string) way {
	return func(w ways, t *testing.T, id, key string) outcome {
		payload, err := proto.Marshal(w.cmd)
		if err != nil {
			t.Fatal(err)
		}
		client := connect.NewClient[apiv1.CallRequest, apiv1.CallResponse](h2c(t), w.url+"/skerry.api.v1.Entities/Call")
		resp, err := client.CallUnary(t.Context(), connect.NewRequest(&apiv1.CallRequest{
			Type: "timer", Id: id, Command: command, Payload: payload, Key: &apiv1.CallRequest_CallerKey{CallerKey: key},
		}))
		if err != nil {
			t.Fatal(err)
		}
		r := resp.Msg.GetReply()
		if r == nil {
			return outcome{code: resp.Msg.String()}
		}
		reply := &adminv1.Shard{}
		if err := proto.Unmarshal(r.GetPayload(), reply); err != nil {
			t.Fatal(err)
		}
		return outcome{reply, r.GetToken(), fmt.Sprintf("%q", fmt.Sprint(r.GetVersion())), r.GetRepeated(), ""}
	}
}

func (w ways) dial(t *testing.T, id, key string) outcome {
	client, err := gateway.Dial(gateway.ClientConfig{URLs: []string{w.url}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	payload, err := proto.Marshal(w.cmd)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Call(t.Context(), &entity.Request{Type: "timer", ID: id, Command: "skerry.admin.v1.Timer", Payload: payload, Key: entity.CallerKey(key)})
	var no *entity.Rejection
	if errors.As(err, &no) {
		return outcome{code: no.Code}
	}
	if err != nil {
		t.Fatal(err)
	}
	reply := &adminv1.Shard{}
	if err := proto.Unmarshal(resp.Payload, reply); err != nil {
		t.Fatal(err)
	}
	return outcome{reply, resp.Receipt.Token.String(), fmt.Sprintf("%q", fmt.Sprint(resp.Receipt.Version)), resp.Receipt.Repeated, ""}
}

// A client may repeat a command on another way than it sent it first: a page by REST, its service by gRPC. It
// is the same command, to the byte, and is answered the same.
func TestACommandIsTheSameOnWhicheverWayItComes(t *testing.T) {
	t.Parallel()
	host := startHost(t, timers)
	var mu sync.Mutex
	seen := map[string][][]byte{} // payloads by entity
	noting := callerFunc(func(ctx context.Context, req *entity.Request) (*entity.Response, error) {
		mu.Lock()
		seen[req.ID] = append(seen[req.ID], bytes.Clone(req.Payload))
		mu.Unlock()
		return host.Call(ctx, req)
	})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	w := ways{service{listen(t, serveRPC(t, noting, nil)), &http.Client{Transport: transport}}, &adminv1.Timer{
		Name: "n", Due: &timestamppb.Timestamp{Seconds: 1772366400}, Attempts: 3, LastError: "é\n",
	}}
	for first, one := range allWays() {
		for second, other := range allWays() {
			id := first + " / " + second
			told := one(w, t, id, "k")
			again := other(w, t, id, "k")
			if told.code != "" || told.repeated || again.code != "" || !again.repeated {
				t.Errorf("%s: answered %+v, and then %+v", id, told, again)
				continue
			}
			if !proto.Equal(told.reply, again.reply) || told.token != again.token || told.version != again.version {
				t.Errorf("%s: the answer is %+v, and then %+v", id, told, again)
			}
			if p := seen[id]; len(p) != 2 || !bytes.Equal(p[0], p[1]) {
				t.Errorf("%s: the entity got %x", id, p)
			}
		}
	}
	if n := len(storedOf(t, host)); n != len(seen) {
		t.Errorf("%d commands are stored for %d entities", n, len(seen))
	}
}

// Another command with a key is told so, on whichever way it comes: the test above must not be blind.
func TestAnotherCommandWithAKeyIsRefusedOnEveryWay(t *testing.T) {
	t.Parallel()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	w := ways{service{listen(t, serveRPC(t, startHost(t, timers), nil)), &http.Client{Transport: transport}}, &adminv1.Timer{
		Name: "n", Due: &timestamppb.Timestamp{Seconds: 1772366400},
	}}
	for name, one := range allWays() {
		w.cmd.Attempts = 1
		if told := one(w, t, name, "k"); told.code != "" {
			t.Errorf("%s: answered %+v", name, told)
		}
		w.cmd.Attempts = 2
		if told := one(w, t, name, "k"); told.code == "" {
			t.Errorf("%s: another command with the key is answered %+v", name, told)
		}
	}
}

// storedOf lists the commands in the logs of a host.
func storedOf(t *testing.T, host *entity.Host) (ids []string) {
	t.Helper()
	var reader entity.StoredReader
	for shard := range uint32(host.Feed().Shards()) {
		for next := uint64(1); ; {
			records, err := host.Feed().Records(t.Context(), shard, next, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if len(records) == 0 {
				break
			}
			for _, rec := range records {
				next++
				err := reader.Each(rec, func(s *entity.Stored) error { ids = append(ids, s.ID); return nil })
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return ids
}
