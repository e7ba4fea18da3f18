package cassandra

import (
	"context"
	"math"
	"time"

	"github.com/skerryhq/skerry/journal"
)

const (
	insertTimer = "INSERT INTO timers (shard, hour, due, type, id, name, armed) VALUES (?, ?, ?, ?, ?, ?, ?)"
	deleteTimer = "DELETE FROM timers WHERE shard = ? AND hour = ? AND due = ? AND type = ? AND id = ? AND name = ? AND armed = ?"
	selectDue   = "SELECT due, type, id, name, armed FROM timers WHERE shard = ? AND hour = ? AND (due, type, id, name, armed) > (?, ?, ?, ?, ?)"
	deleteDue   = "DELETE FROM timers WHERE shard = ? AND hour = ?"

	insertHour  = "INSERT INTO hours (shard, hour) VALUES (?, ?)"
	selectHours = "SELECT hour FROM hours WHERE shard = ? AND hour >= ? AND hour < ?"
	deleteHours = "DELETE FROM hours WHERE shard = ? AND hour < ?"
)

func timerWrites(shard uint32, timers []journal.Timer, statement string) *groups {
	g := &groups{}
	for _, t := range timers {
		g.add(hourKey(shard, t.Hour()), write{
			statement,
			[]any{int64(shard), t.Hour(), t.Due, []byte(t.Of.Type), []byte(t.Of.ID), []byte(t.Name), int64(t.Armed)},
			rowBytes + len(t.Of.Type) + len(t.Of.ID) + len(t.Name),
		})
	}
	return g
}

// Timers implements journal.Store.
func (j *Journal) Timers(ctx context.Context, shard uint32, fromHour, toHour int64, visit func(journal.Timer) error) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.calls.Done()
	hours, err := j.hoursOf(ctx, shard, fromHour, toHour)
	if err != nil {
		return failure(err, "read the timer index of shard %d", shard)
	}
	for _, hour := range hours {
		if err := j.timersIn(ctx, shard, hour, visit); err != nil {
			return err
		}
	}
	return nil
}

// hoursOf returns the hours that the index has in a range.
func (j *Journal) hoursOf(ctx context.Context, shard uint32, from, to int64) (hours []int64, err error) {
	err = again(ctx, func() error {
		hours = nil
		iter := j.query(ctx, selectHours, int64(shard), from, to).RoutingKey(shardKey(shard)).Iter()
		var hour int64
		for iter.Scan(&hour) {
			hours = append(hours, hour)
		}
		return iter.Close()
	})
	return hours, err
}

// timerRows is how many timers are asked for at once.
const timerRows = 1000

// timersIn visits the timers of one hour. A second attempt goes on behind the newest one visited.
func (j *Journal) timersIn(ctx context.Context, shard uint32, hour int64, visit func(journal.Timer) error) error {
	last := timerRow{due: math.MinInt64, kind: []byte{}, id: []byte{}, name: []byte{}}
	var visited error
	err := again(ctx, func() error {
		iter := j.query(ctx, selectDue, int64(shard), hour, last.due, last.kind, last.id, last.name, last.armed).
			RoutingKey(hourKey(shard, hour)).PageSize(timerRows).Iter()
		for visited == nil && iter.Scan(&last.due, &last.kind, &last.id, &last.name, &last.armed) {
			visited = visit(last.timer())
		}
		if err := iter.Close(); visited == nil {
			return err
		}
		return nil
	})
	if err != nil {
		return failure(err, "read the timer index of shard %d", shard)
	}
	return visited
}

// timerRow is a row of the index, in the order of its columns.
type timerRow struct {
	due            int64
	kind, id, name []byte
	armed          int64
}

func (r timerRow) timer() journal.Timer {
	return journal.Timer{
		Of: journal.Entity{Type: string(r.kind), ID: string(r.id)}, Name: string(r.name),
		Due: r.due, Armed: uint64(r.armed),
	}
}

// maxHours limits the hours remembered as noted, of one shard.
const maxHours = 1024

// newHours returns the hours of timers that are not known to be noted. An hour
// that has passed is noted each time: it may have been removed meanwhile.
func (s *shard) newHours(arms []journal.Timer) map[int64]bool {
	now := journal.HourOf(time.Now().UnixNano())
	s.mu.Lock()
	defer s.mu.Unlock()
	hours := map[int64]bool{}
	for _, t := range arms {
		if hour := t.Hour(); hour < now || !s.hours[hour] {
			hours[hour] = true
		}
	}
	return hours
}

// noted remembers that hours were written.
func (s *shard) noted(hours map[int64]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.hours)+len(hours) > maxHours {
		clear(s.hours)
	}
	for hour := range hours {
		s.hours[hour] = true
	}
}

func hourWrites(shard uint32, hours map[int64]bool) *groups {
	g := &groups{}
	for hour := range hours {
		g.add(shardKey(shard), write{insertHour, []any{int64(shard), hour}, rowBytes})
	}
	return g
}

// removalMargin is how much older than the record that allows it a timer's row must
// be to be removed: more than clocks of owners may differ.
const removalMargin = 10 * time.Second

// mayRemove takes in what a committed record says of the timer index: no timer armed up to it
// is pending before its hour. A timer armed after it may be due in such an hour, though. So the
// removal is stamped with a time before this record, and rows written later outlive it.
func (s *shard) mayRemove(h journal.Header, stamp int64) {
	if h.TimersFromHour == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp -= removalMargin.Microseconds()
	hour := min(h.TimersFromHour, journal.HourOf(stamp*int64(time.Microsecond))) - 1
	if hour > s.removable {
		s.removable, s.asOf = hour, stamp
	}
}

// removeHours removes hours that are no longer needed. What remains when
// it fails is removed next time.
func (j *Journal) removeHours(ctx context.Context, s *shard) {
	s.mu.Lock()
	upTo, stamp, removed := s.removable, s.asOf, s.removed
	s.mu.Unlock()
	if upTo <= removed {
		return
	}
	err := j.removeHoursBefore(ctx, s.number, upTo, stamp)
	if err != nil {
		j.cfg.Logger.Debug("old hours of the timer index were not removed", "shard", s.number, "cause", err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = max(s.removed, upTo)
}

func (j *Journal) removeHoursBefore(ctx context.Context, shard uint32, upTo, stamp int64) error {
	hours, err := j.hoursOf(ctx, shard, -1<<62, upTo)
	if err != nil || len(hours) == 0 {
		return err
	}
	for _, hour := range hours {
		err := j.query(ctx, deleteDue, int64(shard), hour).RoutingKey(hourKey(shard, hour)).WithTimestamp(stamp).Exec()
		if err != nil {
			return err
		}
	}
	return j.query(ctx, deleteHours, int64(shard), upTo).RoutingKey(shardKey(shard)).WithTimestamp(stamp).Exec()
}
