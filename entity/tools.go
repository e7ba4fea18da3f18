package entity

// EncodeState writes a state as a snapshot would hold it. It is meant for tests and tools.
func (t *Type[S]) EncodeState(state S) ([]byte, error) { return t.codec.encode(state) }

// DecodeState reads what [Type.EncodeState] wrote. It is meant for tests and tools.
func (t *Type[S]) DecodeState(b []byte) (S, error) { return t.codec.decode(b) }

// ShowState renders a state as JSON for people, as [Host.Inspect] does.
func (t *Type[S]) ShowState(state S) ([]byte, error) { return t.codec.show(state) }
