package transport

// forward sends an envelope on to its destination, and the answer back. Who sent it may not reach the
// destination; we may. An envelope is forwarded once: it cannot go round in circles.
func forward(t Transport, route func(node string) (Peer, bool), in *Incoming) {
	if in.Origin != "" {
		in.Answer(notSent(ErrUnreachable, busyAfter, "it was forwarded to %s for %s, which is another node: an envelope is forwarded once", t.Self(), in.Destination))
		return
	}
	to, ok := route(in.Destination)
	if !ok {
		in.Answer(notSent(ErrUnreachable, busyAfter, "%s knows no way to %s", t.Self(), in.Destination))
		return
	}
	e := in.Envelope
	e.Origin = in.From.Node
	t.Send(to, &e, in.Answer)
}
