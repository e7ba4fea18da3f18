package archive

import "fmt"

// Report is what Verify found.
type Report struct {
	Shards    int    `json:"shards"`
	Records   uint64 `json:"records"`
	Events    uint64 `json:"events"`
	Entities  uint64 `json:"entities"`
	Pages     uint64 `json:"pages"`
	Snapshots uint64 `json:"snapshots"`
	// Timers counts the pending ones.
	Timers uint64 `json:"timers"`
	// Findings are what is wrong, at most as many as was asked for.
	Findings []Finding `json:"findings"`
	// Omitted is how many more there were.
	Omitted uint64 `json:"omitted"`
	// Unchecked names what could not be compared within the bounds of memory, or because a log is damaged.
	Unchecked []string `json:"unchecked"`
}

// Finding is one thing that is wrong.
type Finding struct {
	Shard int `json:"shard"`
	// Record is 0 if it is not about one.
	Record uint64 `json:"record,omitempty"`
	// Type and ID are empty if it is not about an entity.
	Type string `json:"type,omitempty"`
	ID   string `json:"id,omitempty"`
	What string `json:"what"`
}

// String implements fmt.Stringer.
func (f Finding) String() string {
	at := fmt.Sprintf("shard %d", f.Shard)
	if f.Record != 0 {
		at += fmt.Sprintf(", record %d", f.Record)
	}
	if f.Type != "" {
		at += fmt.Sprintf(", %s %q", f.Type, f.ID)
	}
	return at + ": " + f.What
}
