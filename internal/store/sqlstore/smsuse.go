package sqlstore

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/commserver/commserver/internal/comm"
)

// What is counted of an app's SMS is one row of sms_use: the whole app's in columns of its
// own, that of prefixes beside it, so that one lock and one write serve however many caps.

// EncodePrefixDays writes what is counted under prefixes, but for what is too old to count.
func EncodePrefixDays(d comm.SMSDays, today int64) (string, error) {
	rows := make(map[string][4]int64, len(d))
	for prefix, use := range d {
		if prefix != "" && !use.Stale(today) {
			rows[prefix] = [4]int64{use.Day, use.Used, use.Usual, int64(use.AlarmAt)}
		}
	}
	text, err := json.Marshal(rows, json.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("encode the day's SMS: %w", err)
	}
	return string(text), nil
}

// DecodePrefixDays adds what EncodePrefixDays wrote.
func DecodePrefixDays(text string, d comm.SMSDays) error {
	if text == "{}" {
		return nil
	}
	var rows map[string][4]int64
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return fmt.Errorf("decode the day's SMS: %w", err)
	}
	for prefix, x := range rows {
		d[prefix] = comm.SMSUse{Day: x[0], Used: x[1], Usual: x[2], AlarmAt: comm.Micros(x[3])}
	}
	return nil
}

// encodeCaps writes caps of prefixes, and decodeCaps reads them in the order of the prefixes.
func encodeCaps(caps []comm.SMSCap) (string, error) {
	rows := make(map[string]int, len(caps))
	for _, c := range caps {
		rows[c.Prefix] = c.PerDay
	}
	text, err := json.Marshal(rows, json.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("encode caps of SMS: %w", err)
	}
	return string(text), nil
}

func decodeCaps(text string) (caps []comm.SMSCap, err error) {
	if text == "{}" {
		return nil, nil
	}
	var rows map[string]int
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return nil, fmt.Errorf("decode caps of SMS: %w", err)
	}
	for prefix, perDay := range rows {
		caps = append(caps, comm.SMSCap{Prefix: prefix, PerDay: perDay})
	}
	slices.SortFunc(caps, func(a, b comm.SMSCap) int { return cmp.Compare(a.Prefix, b.Prefix) })
	return caps, nil
}

// shownCaps are caps as the audit log shows them.
func shownCaps(caps []comm.SMSCap) string {
	var b []byte
	for i, c := range caps {
		if i > 0 {
			b = append(b, ' ')
		}
		b = fmt.Appendf(b, "%s=%d", c.Prefix, c.PerDay)
	}
	return string(b)
}
