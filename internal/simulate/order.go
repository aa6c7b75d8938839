package simulate

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/strictjson"
)

// Orders are what a rules file holds.
type Orders struct {
	Rules     []Rule            `json:"rules"`
	Callbacks map[string]Target `json:"callbacks"`
}

// ReadOrders reads a rules file, strictly. Whether its rules can be obeyed is
// found out when they are added. The error is a *comm.Error.
func ReadOrders(raw []byte) (Orders, error) {
	var o Orders
	err := strictjson.Decode(raw, &o, nil)
	return o, err
}

// ParseRule reads a rule as a command line has it: the fields of its JSON form as
// name=value, with commas between them. The error is a *comm.Error.
func ParseRule(text string) (Rule, error) {
	fields := map[string]any{}
	for pair := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if _, twice := fields[name]; !ok || twice {
			return Rule{}, comm.E("invalid_field", "A rule is name=value, with commas between, each name once; %q is not.", comm.ClipPath(pair))
		}
		fields[name] = value
		if slices.Contains([]string{"port", "share", "first", "times", "above", "status", "count", "taken"}, name) {
			if n, err := strconv.ParseFloat(value, 64); err == nil {
				fields[name] = n
			} else if b, err := strconv.ParseBool(value); err == nil {
				fields[name] = b
			}
		}
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return Rule{}, comm.E("invalid_field", "The rule %q cannot be read.", comm.ClipPath(text))
	}
	var r Rule
	err = strictjson.Decode(raw, &r, nil)
	return r, err
}

// Explain writes an error of an order in one line, with the field at fault.
func Explain(err error) string {
	e, ok := errors.AsType[*comm.Error](err)
	if !ok {
		return err.Error()
	}
	for path, why := range e.Fields {
		return fmt.Sprintf("%s %s", path, why)
	}
	return e.Text
}
