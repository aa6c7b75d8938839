package sqlstore

import (
	"testing"

	"github.com/go-json-experiment/json"
)

func TestDiffer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after facts
		want          string
	}{
		"nothing":          {facts{"a": shown(1), "s": hidden("x")}, facts{"a": shown(1), "s": hidden("x")}, `{}`},
		"shown":            {facts{"a": shown(1), "b": shown("x")}, facts{"a": shown(2), "b": shown("x")}, `{"a":{"from":1,"to":2}}`},
		"hidden":           {facts{"s": hidden("x")}, facts{"s": hidden("y")}, `{"s":{"changed":true}}`},
		"hidden removed":   {facts{"s": hidden("x")}, facts{"s": hidden("")}, `{"s":{"changed":true}}`},
		"new":              {nil, facts{"a": shown(false), "s": hidden("x"), "none": hidden("")}, `{"a":{"to":false},"s":{"changed":true}}`},
		"gone":             {facts{"a": shown("<&>"), "s": hidden("x"), "none": hidden("")}, nil, `{"a":{"from":"<&>"},"s":{"changed":true}}`},
		"shown in part":    {facts{"u": {"https://a/x", "https://a"}}, facts{"u": {"https://a/y", "https://a"}}, `{"u":{"from":"https://a","to":"https://a"}}`},
		"a field comes":    {facts{"a": shown(1)}, facts{"a": shown(1), "config.host": shown("h")}, `{"config.host":{"to":"h"}}`},
		"a field goes":     {facts{"a": shown(1), "config.from": hidden("x")}, facts{"a": shown(1)}, `{"config.from":{"changed":true}}`},
		"both are nothing": {nil, nil, `{}`},
	} {
		got, err := json.Marshal(differ(c.before, c.after), json.Deterministic(true))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, want %s, %v", name, got, c.want, err)
		}
	}
}
