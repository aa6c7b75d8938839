package seal

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretMasksItself(t *testing.T) {
	t.Parallel()
	const planted = "PLANTED-SECRET"
	secret := Secret(planted)
	type holder struct {
		Name   string
		Secret Secret
		List   []Secret
		Map    map[string]Secret
	}
	held := holder{"n", secret, []Secret{secret}, map[string]Secret{"k": secret}}
	var outputs []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U", "%e", "%T", "%20s", "%-20v", "%z"} {
		for _, value := range []any{secret, &secret, held, &held, []any{secret}} {
			outputs = append(outputs, fmt.Sprintf(verb, value)) //nolint:govet // wrong verbs on purpose
		}
	}
	outputs = append(outputs, fmt.Sprint(secret), fmt.Sprintln(held), fmt.Errorf("x: %v", secret).Error(), errors.New(secret.String()).Error())
	for _, value := range []any{secret, held, &held} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		outputs = append(outputs, string(text))
	}
	type element struct{ S Secret }
	text, err := xml.Marshal(element{secret})
	if err != nil {
		t.Fatal(err)
	}
	outputs = append(outputs, string(text))
	for _, handler := range []func(*bytes.Buffer) slog.Handler{
		func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("m", "secret", secret, "held", held, "pointer", &held, "group", slog.GroupValue(slog.Any("s", secret)))
		outputs = append(outputs, b.String())
	}
	for _, out := range outputs {
		if strings.Contains(out, "PLANTED") || strings.Contains(strings.ToUpper(out), fmt.Sprintf("%X", planted)) || strings.Contains(out, "80 76 65") {
			t.Errorf("shows the secret: %s", out)
		}
	}
	if secret.Reveal() != planted {
		t.Error("Reveal does not give the secret out")
	}
}

func TestSecretEmptyShowsAsEmpty(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(map[string]Secret{"set": "x", "unset": ""})
	if err != nil || string(text) != `{"set":"********","unset":""}` {
		t.Errorf("JSON = %s, %v", text, err)
	}
	if got := fmt.Sprintf("%v|%#v", Secret(""), Secret("")); got != `|seal.Secret("")` {
		t.Errorf("fmt = %s", got)
	}
}

func TestSecretReadsFromJSON(t *testing.T) {
	t.Parallel()
	var s Secret
	if err := json.Unmarshal([]byte(`"value"`), &s); err != nil || s.Reveal() != "value" {
		t.Errorf("read %q, %v", s.Reveal(), err)
	}
}
