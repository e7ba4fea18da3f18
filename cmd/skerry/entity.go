package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/entity"
)

func prepareEntityShow(flags *flag.FlagSet, t terminal) action {
	node, asJSON := nodeFlags(flags, t), jsonFlag(flags)
	var at versionFlag
	flags.Var(&at, "at", "show the entity as it was at this `VERSION` (default: the newest)")
	return func(ctx context.Context, args []string) error {
		return node.ask(ctx, func(ctx context.Context, of admin.Inspector) error {
			info, err := of.Inspect(ctx, args[0], args[1], at.version)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(t.out, info)
			}
			if at.version != nil && info.Entry == 0 {
				return showBeginning(ctx, t.out, of, info)
			}
			return showEntity(t.out, info)
		})
	}
}

// versionFlag is a version, or none.
type versionFlag struct{ version *uint64 }

func (v *versionFlag) String() string {
	if v == nil || v.version == nil {
		return ""
	}
	return strconv.FormatUint(*v.version, 10)
}

func (v *versionFlag) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is no version: give a number from 0 to the entity's newest version", text)
	}
	v.version = &n
	return nil
}

func showEntity(w io.Writer, e *entity.EntityInfo) error {
	life := "passive"
	if e.Live {
		life = "live"
	}
	_, _ = fmt.Fprintf(w, "%s %s: version %d, entry %d, shard %d, %s\n\n", safe(e.Type), safe(e.ID), e.Version, e.Entry, e.Shard, life)
	if e.Entry == 0 {
		_, _ = fmt.Fprintln(w, "Nothing was ever stored for it.")
		return nil
	}
	showState(w, e)
	return showTables(w, e)
}

// showBeginning shows an entity as it was before its first entry, or says that it has none to this day.
func showBeginning(ctx context.Context, w io.Writer, of admin.Inspector, then *entity.EntityInfo) error {
	now, err := of.Inspect(ctx, then.Type, then.ID, nil)
	if err != nil || now.Entry == 0 {
		return errors.Join(err, showEntity(w, then))
	}
	_, err = fmt.Fprintf(w, "%s %s: version %d of %d\n\nNothing had happened yet at version %d.\n",
		safe(then.Type), safe(then.ID), then.Version, now.Version, then.Version)
	return err
}

func showState(w io.Writer, e *entity.EntityInfo) {
	if e.StateError != "" {
		_, _ = fmt.Fprintf(w, "state: cannot be rebuilt: %s\n\n", safe(e.StateError))
		return
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, e.State, "", "  "); err != nil {
		indented.Reset()
		indented.WriteString(safe(string(e.State)))
	}
	_, _ = fmt.Fprintf(w, "state\n%s\n\n", &indented)
}

func showTables(w io.Writer, e *entity.EntityInfo) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(tab, "events (%d%s)\n", len(e.Events), omitted(e.Omitted))
	if len(e.Events) > 0 {
		_, _ = fmt.Fprintln(tab, "VERSION\tENTRY\tTIME\tEVENT\tDATA\tCOMMAND\tBY\tKEY\tCAUSE\tTRACE")
	}
	for _, v := range e.Events {
		row(tab, v.Version, v.Entry, clock(v.Time), eventType(v), compact(v.Data), v.Command, v.Principal, v.Key, v.Cause, v.Trace)
	}
	_, _ = fmt.Fprintf(tab, "\npending timers (%d)\n", len(e.Timers))
	if len(e.Timers) > 0 {
		_, _ = fmt.Fprintln(tab, "NAME\tDUE\tCOMMAND\tARMED BY ENTRY\tFAILURES\tNEXT TRY\tLAST ERROR")
	}
	for _, v := range e.Timers {
		row(tab, v.Name, clock(v.Due), v.Command, v.Armed, v.Attempts, clock(v.RetryAt), v.LastError)
	}
	_, _ = fmt.Fprintf(tab, "\nremembered answers (%d)\n", len(e.Window))
	if len(e.Window) > 0 {
		_, _ = fmt.Fprintln(tab, "KEY\tENTRY\tVERSION\tTIME\tREJECTED")
	}
	for _, v := range e.Window {
		row(tab, v.Key, v.Entry, v.Version, clock(v.Time), v.Rejection)
	}
	return tab.Flush()
}

// eventType names the type that an event is read as, and the one it was stored as if that is another.
func eventType(e entity.EventInfo) string {
	if e.StoredType == "" {
		return e.Type
	}
	return e.Type + ", stored as " + e.StoredType
}

func omitted(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d older ones not shown", n)
}

func row(w io.Writer, cells ...any) {
	var words []string
	for _, c := range cells {
		word := safe(fmt.Sprint(c))
		if word == "" {
			word = "-"
		}
		words = append(words, word)
	}
	_, _ = fmt.Fprintln(w, strings.Join(words, "\t"))
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

func compact(data json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return string(data)
	}
	return b.String()
}

// safe quotes a text that could change the terminal or the table: what clients
// gave is shown here.
func safe(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
