package bench

import (
	"cmp"
	"slices"
	"time"
)

// Figures are the result of one load, or the medians of several runs of it.
type Figures struct {
	Journal  string `json:"journal"`
	Callers  int    `json:"callers"`
	Entities int    `json:"entities"`
	// CommandsPerSecond counts answers; each is durable.
	CommandsPerSecond float64 `json:"commands_per_s"`
	P50               float64 `json:"p50_ms"`
	P99               float64 `json:"p99_ms"`
	P999              float64 `json:"p999_ms"`
	EventsPerRecord   float64 `json:"events_per_record"`
	// CPUPerCommand is user and system time of the whole process, callers included, in µs.
	CPUPerCommand float64 `json:"cpu_us_per_command"`
	// DatabaseCPUPerCommand is the same of the database's process, where that is known.
	DatabaseCPUPerCommand float64 `json:"database_cpu_us_per_command,omitempty"`
	// RawAppendsPerSecond is what the bare store takes of records of this size from RawWriters, each
	// of which waits for its own before the next.
	RawAppendsPerSecond float64 `json:"raw_appends_per_s"`
	RawWriters          int     `json:"raw_writers"`
	// RawCPUPerAppend and RawDatabaseCPUPerAppend are what one of these costs in this process and in the
	// database's, in µs.
	RawCPUPerAppend         float64 `json:"raw_cpu_us_per_append"`
	RawDatabaseCPUPerAppend float64 `json:"raw_database_cpu_us_per_append,omitempty"`
	// BytesPerEntity is the heap of a live idle entity beside its state.
	BytesPerEntity float64 `json:"bytes_per_entity"`

	Payload          int     `json:"payload_bytes"`
	RecordBytes      float64 `json:"record_bytes"`
	Shards           int     `json:"shards"`
	Hot              bool    `json:"hot"`
	Zipf             bool    `json:"zipf"`
	OneBatchPerShard bool    `json:"one_batch_per_shard"`
	NoDerived        bool    `json:"no_derived"`
	Seconds          float64 `json:"seconds"`
	Machine
	// Runs holds each run, where the rest is their medians.
	Runs []Figures `json:"runs,omitempty"`
}

func (l Load) figures(w window) Figures {
	commands := float64(w.latency.total)
	f := Figures{
		Journal: l.Journal, Callers: l.Callers, Entities: l.Entities,
		CommandsPerSecond: commands / w.elapsed.Seconds(),
		P50:               milliseconds(w.latency.quantile(0.5)),
		P99:               milliseconds(w.latency.quantile(0.99)),
		P999:              milliseconds(w.latency.quantile(0.999)),
		EventsPerRecord:   float64(w.after.events-w.before.events) / float64(max(w.after.records-w.before.records, 1)),
		BytesPerEntity:    l.BytesPerEntity,
		Payload:           l.Payload, Shards: len(w.after.heads), Hot: l.Hot, Zipf: l.Zipf, OneBatchPerShard: l.OneBatchPerShard, NoDerived: l.NoDerived,
		Seconds: w.elapsed.Seconds(), Machine: ThisMachine(),
	}
	if l.Hot {
		f.Entities = 1
	}
	if commands > 0 {
		f.CPUPerCommand = float64(w.cpu.Microseconds()) / commands
		f.DatabaseCPUPerCommand = float64(w.database.Microseconds()) / commands
	}
	return f
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// Median returns the median of each figure over runs of one load. runs is not empty.
func Median(runs []Figures) Figures {
	if len(runs) == 1 {
		return runs[0]
	}
	m := runs[len(runs)-1]
	m.Runs = runs
	for _, field := range []func(*Figures) *float64{
		func(f *Figures) *float64 { return &f.CommandsPerSecond },
		func(f *Figures) *float64 { return &f.P50 },
		func(f *Figures) *float64 { return &f.P99 },
		func(f *Figures) *float64 { return &f.P999 },
		func(f *Figures) *float64 { return &f.EventsPerRecord },
		func(f *Figures) *float64 { return &f.CPUPerCommand },
		func(f *Figures) *float64 { return &f.DatabaseCPUPerCommand },
		func(f *Figures) *float64 { return &f.RawAppendsPerSecond },
		func(f *Figures) *float64 { return &f.RawCPUPerAppend },
		func(f *Figures) *float64 { return &f.RawDatabaseCPUPerAppend },
		func(f *Figures) *float64 { return &f.BytesPerEntity },
		func(f *Figures) *float64 { return &f.RecordBytes },
	} {
		var all []float64
		for i := range runs {
			all = append(all, *field(&runs[i]))
		}
		*field(&m) = median(all)
	}
	return m
}

// median of an even number of values is the lower one in the middle.
func median[N cmp.Ordered](of []N) N {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[(len(sorted)-1)/2]
}
