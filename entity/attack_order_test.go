package entity_test

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"
)

// inOrder checks the history of a tally against the order in which its log has the commands: each answer is
// what the log gives there, and nothing comes before what had ended when it began. A query goes to the first place that
// gives its answer and is not before what it must have seen; no later one could suit others better. So a history
// without complaints is linearizable, and the log is the proof. It takes no search, where porcupine's may never end.
func inOrder(ops []porcupine.Operation, log []logged) (wrong []string) {
	at := make(map[string]int, len(log)) // by key: how many commands the log has up to it
	for i, c := range log {
		at[c.key] = i + 1
	}
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var under endings
	seen := 0 // whoever begins now must be behind that many commands
	for _, op := range ops {
		for len(under) > 0 && under[0].at < op.Call {
			seen = max(seen, heap.Pop(&under).(ending).seen)
		}
		in, out := op.Input.(operation), op.Output.(outcome)
		switch place, stored := at[in.key]; {
		case in.query && !out.never && !out.unknown:
			place := firstSum(log, seen, out.sum)
			if place < 0 {
				wrong = append(wrong, fmt.Sprintf("a query was told %d; no state behind %d commands, which it must have seen, is that", out.sum, seen))
				continue
			}
			heap.Push(&under, ending{op.Return, place})
		case in.query || !stored:
		case place <= seen:
			wrong = append(wrong, fmt.Sprintf("command %s is number %d of the log, and when it began number %d had been told", in.key, place, seen))
		case !out.unknown && !out.never && !out.rejected && out.sum != log[place-1].sum:
			wrong = append(wrong, fmt.Sprintf("command %s was told %d, the log gives %d there", in.key, out.sum, log[place-1].sum))
		default:
			heap.Push(&under, ending{op.Return, place})
		}
	}
	return wrong
}

// firstSum returns how many commands of the log give a sum, at least from; -1 if no number does.
func firstSum(log []logged, from int, sum int64) int {
	for n := from; n <= len(log); n++ {
		if n == 0 && sum == 0 || n > 0 && log[n-1].sum == sum {
			return n
		}
	}
	return -1
}

// ending is when an operation was told, and how many commands that had seen.
type ending struct {
	at   int64
	seen int
}

// endings is a heap, the earliest first.
type endings []ending

func (e endings) Len() int           { return len(e) }
func (e endings) Less(i, j int) bool { return e[i].at < e[j].at }
func (e endings) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *endings) Push(x any)        { *e = append(*e, x.(ending)) }
func (e *endings) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func TestTheOrderOfTheLogDecides(t *testing.T) {
	t.Parallel()
	add := func(key string, call, told, sum int64) porcupine.Operation {
		return porcupine.Operation{Input: operation{add: 1, key: key}, Call: call, Return: told, Output: outcome{sum: sum}}
	}
	ask := func(call, told, sum int64) porcupine.Operation {
		return porcupine.Operation{Input: operation{query: true}, Call: call, Return: told, Output: outcome{sum: sum}}
	}
	log := []logged{{"a", 1}, {"b", 2}, {"c", 3}}
	for name, p := range map[string]struct {
		ops   []porcupine.Operation
		wrong bool
	}{
		"one after the other":                     {[]porcupine.Operation{add("a", 1, 2, 1), ask(3, 4, 1), add("b", 5, 6, 2), add("c", 7, 8, 3)}, false},
		"a query beside a command sees it":        {[]porcupine.Operation{add("a", 1, 4, 1), ask(2, 3, 1), add("b", 5, 6, 2)}, false},
		"a query beside a command sees it not":    {[]porcupine.Operation{add("a", 1, 4, 1), ask(2, 3, 0), add("b", 5, 6, 2)}, false},
		"a query sees what was before":            {[]porcupine.Operation{add("a", 1, 2, 1), ask(3, 4, 0)}, true},
		"a query sees what never was":             {[]porcupine.Operation{add("a", 1, 2, 1), ask(3, 4, 7)}, true},
		"a query sees less than one before":       {[]porcupine.Operation{add("a", 1, 9, 1), ask(2, 3, 1), ask(4, 5, 0)}, true},
		"the log turns commands round":            {[]porcupine.Operation{add("b", 1, 2, 2), add("a", 3, 4, 1)}, true},
		"a query sees a command before it began":  {[]porcupine.Operation{add("a", 1, 2, 1), ask(3, 4, 2), add("b", 5, 6, 2)}, true},
		"a command is told another's answer":      {[]porcupine.Operation{add("a", 1, 2, 2)}, true},
		"what is not stored has no place in this": {[]porcupine.Operation{add("x", 1, 2, 5)}, false},
	} {
		if wrong := inOrder(p.ops, log); (len(wrong) > 0) != p.wrong {
			t.Errorf("%s: %q", name, wrong)
		}
	}
}
