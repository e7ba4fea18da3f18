package replay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

// service is an auction as small as it can be: lots in a map. Its faults are for the tests.
type service struct {
	mu      sync.Mutex
	lots    map[string]*fakeLot
	answers map[string]answer // by lot and key
	calls   int

	// refuse, if not nil, answers the nth call with a status instead; ran tells whether it runs all the same.
	refuse func(n int) (status int, ran bool)
	// spoil, if not nil, changes what GetLot tells.
	spoil func(view *auctionv1.LotView, version *uint64)
	// spoilRow, if not nil, changes what the read model tells.
	spoilRow func(*auctionv1.LotRow)
	// closesTwice lets a lot be closed again.
	closesTwice bool
}

type fakeLot struct {
	state   auction.Lot
	version uint64
}

type answer struct {
	status  int
	version uint64
	body    []byte
}

func newService() *service {
	return &service{lots: map[string]*fakeLot{}, answers: map[string]answer{}}
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	var status int
	ran := true
	if s.refuse != nil {
		status, ran = s.refuse(s.calls)
	}
	if ran {
		a := s.answer(r)
		if status == 0 {
			w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprint(a.version)))
			w.WriteHeader(a.status)
			_, _ = w.Write(a.body)
			return
		}
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"code":"skerry/test","reason":"not now"}`)
}

// answer runs a command once per key.
func (s *service) answer(r *http.Request) answer {
	parts := strings.Split(r.URL.Path, "/")
	if r.Method == http.MethodGet {
		return s.row(parts[3])
	}
	id, command, key := parts[4], parts[5], r.Header.Get("Idempotency-Key")
	if a, ok := s.answers[id+"/"+key]; ok && key != "" {
		return a
	}
	body, _ := io.ReadAll(r.Body)
	a := s.run(id, command, body)
	s.answers[id+"/"+key] = a
	return a
}

// row is what a read model would tell of a lot.
func (s *service) row(id string) answer {
	l := s.lots[id]
	r := &auctionv1.LotRow{
		Lot: id, PriceCents: int64(l.state.Standing.Price), Leader: l.state.Standing.Leader, BidCount: l.state.BidCount,
		Closed: !l.state.ClosedAt.IsZero(), Version: l.version,
	}
	if s.spoilRow != nil {
		s.spoilRow(r)
	}
	text, _ := protojson.Marshal(&auctionv1.LotPage{Row: r})
	return answer{http.StatusOK, l.version, text}
}

func (s *service) run(id, command string, body []byte) answer {
	msg := map[string]proto.Message{
		"OpenLot": &auctionv1.OpenLot{}, "PlaceBid": &auctionv1.PlaceBid{}, "CloseLot": &auctionv1.CloseLot{}, "GetLot": &auctionv1.GetLot{},
	}[command]
	if err := protojson.Unmarshal(body, msg); err != nil {
		return answer{status: http.StatusBadRequest, body: []byte(err.Error())}
	}
	l := s.lots[id]
	if l == nil {
		l = &fakeLot{}
		s.lots[id] = l
	}
	if s.closesTwice && command == "CloseLot" {
		l.state.ClosedAt = l.state.ClosesAt
	}
	effect, reply, err := auction.Lots.Decide(l.state, msg, entity.Moment{EntityID: id, Time: noon})
	var no *entity.Rejection
	if errors.As(err, &no) {
		text, _ := json.Marshal(map[string]string{"code": no.Code, "reason": no.Message})
		return answer{http.StatusConflict, l.version, text}
	}
	for _, e := range effect.Events() {
		l.state, _ = auction.Lots.Evolve(l.state, e)
		l.version++
	}
	view, version := reply.(*auctionv1.LotView), l.version
	if s.spoil != nil && command == "GetLot" {
		s.spoil(view, &version)
	}
	text, _ := protojson.Marshal(view)
	return answer{http.StatusOK, version, text}
}
