package machine

// random is the generator splitmix64: part of the machine's state, so that one seed replays it.
type random uint64

// draw returns at least 0 and below 1.
func (r *random) draw() float64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}
