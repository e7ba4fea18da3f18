package cluster

import "strings"

// newerOf returns the newer of two versions: text with runs of digits compared as
// numbers, so that 1.10.0 is newer than 1.9.3. It only steers a preference: what
// it gets wrong (a pre-release after its release) costs nothing but that.
func newerOf(a, b string) string {
	if compareVersions(a, b) < 0 {
		return b
	}
	return a
}

func compareVersions(a, b string) int {
	for a != "" && b != "" {
		headA, restA := cutRun(a)
		headB, restB := cutRun(b)
		if c := compareRuns(headA, headB); c != 0 {
			return c
		}
		a, b = restA, restB
	}
	return strings.Compare(a, b)
}

// cutRun splits off the digits, or what is before the next digit.
func cutRun(s string) (run, rest string) {
	i := 1
	for i < len(s) && isDigit(s[i]) == isDigit(s[0]) {
		i++
	}
	return s[:i], s[i:]
}

func compareRuns(a, b string) int {
	if isDigit(a[0]) && isDigit(b[0]) {
		x, y := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	}
	return strings.Compare(a, b)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
