package stream

// Stats is what operators may want to see of a stream. All but Clients, Behind and Kept count since it was made.
type Stats struct {
	// Clients are those connected now.
	Clients int
	// Messages were sent to clients, all together.
	Messages uint64
	// CutOff clients were too slow.
	CutOff uint64
	// Resets tell how often a client had to load everything anew.
	Resets uint64
	// CatchUps tell how often a client read from the journal what was in memory no more.
	CatchUps uint64
	// Refused requests got no stream.
	Refused uint64
	// Failed events could not be rendered and are missing; the log names them.
	Failed uint64
	// Behind is how many committed events were not handed to the clients yet.
	Behind uint64
	// KeptBytes is what is kept in memory for clients that come back.
	KeptBytes int
}

// Stats returns the stream's figures.
func (s *Stream) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{
		Clients: len(s.clients), Messages: s.stats.messages.Load(), CutOff: s.stats.cutOff.Load(),
		Resets: s.stats.resets.Load(), CatchUps: s.stats.catchUps.Load(), Refused: s.stats.refused.Load(),
		Failed: s.render.failed.Load(),
	}
	if s.hub != nil {
		stats.Behind, stats.KeptBytes = s.hub.figures()
	}
	return stats
}

// figures returns how many events the hub has still to take in, and what it keeps.
func (h *hub) figures() (behind uint64, keptBytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for shard := range h.at {
		head, _ := h.source.Head(uint32(shard))
		if last := head.NextOffset() - 1; last > h.at[shard] {
			behind += last - h.at[shard]
		}
	}
	return behind, h.keptBytes
}
