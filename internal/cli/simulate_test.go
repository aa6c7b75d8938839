package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSimulateRefusesWrongWords(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, []byte(`{"rules":[{"fault":"lose","speed":1}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		code int
		text string
	}{
		{"not loopback", []string{"--addr", "0.0.0.0:3018"}, exitFailed, "allow it by --expose"},
		{"no rule", []string{"--rule", "lose"}, exitUsage, "name=value"},
		{"no such fault", []string{"--rule", "fault=explode"}, exitFailed, "unknown-id"},
		{"a file with a mistake", []string{"--rules", file}, exitUsage, "speed is not known here"},
		{"no such file", []string{"--rules", file + "x"}, exitUsage, "rules.jsonx"},
		{"no callback", []string{"--callback", "RESEND"}, exitUsage, "RESEND=http"},
		{"no such type", []string{"--callback", "FAX=http://127.0.0.1/"}, exitFailed, "TWILIO"},
		{"no address", []string{"--own-addr", "NALO"}, exitUsage, "RESEND=127.0.0.1:3031"},
		{"no network", []string{"--allow-target", "example.com"}, exitUsage, "10.0.0.0/8"},
		{"words after it", []string{"now"}, exitUsage, "now"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			args := append([]string{"simulate"}, tt.args...)
			if tt.name != "not loopback" {
				args = append(args, "--addr", "127.0.0.1:0")
			}
			code := Run(t.Context(), append(args, "--smtp-addr", "127.0.0.1:0"), Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
			if code != tt.code || !strings.Contains(errs.String(), tt.text) || out.Len() > 0 {
				t.Errorf("exit code %d, %q, printed %q; want %d and %q", code, errs.String(), out.String(), tt.code, tt.text)
			}
		})
	}
}

// TestSimulateSaysWhatToPaste runs it as a person does, and ends it.
func TestSimulateSaysWhatToPaste(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	var out, errs bytes.Buffer
	code := Run(ctx, []string{"simulate", "--addr", "127.0.0.1:0", "--smtp-addr", "127.0.0.1:0", "--smtp-addr", "127.0.0.1:0", "--own-addr", "nalo=127.0.0.1:0",
		"--callback", "resend=http://127.0.0.1:1/x", "--rule", "type=SMTP,fault=lose,share=0.5", "--ledger", filepath.Join(t.TempDir(), "ledger"), "--allow-target", "10.0.0.0/8"},
		Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	if code != 0 || errs.Len() > 0 {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	for _, word := range []string{"  RESEND   {", "  ARKESEL  {", "  HUBTEL   {", "  NALO     {", "  MNOTIFY  {", "  TWILIO   {", `"from":"Shop <no-reply@example.com>"`, "whsec_",
		"COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8", "/_simulate/rules", "/hooks/{name}", "/nalo/smsbackend/Resl_Nalo"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("it does not say %q:\n%s", word, out.String())
		}
	}
	if strings.Count(out.String(), "  SMTP     {") != 2 {
		t.Errorf("not both relays:\n%s", out.String())
	}
}
