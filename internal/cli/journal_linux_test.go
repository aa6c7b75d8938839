package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stream is a file that stands for a stream of the process, and its name as JOURNAL_STREAM has it.
func stream(t *testing.T) (f *os.File, name string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "stream"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return f, fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

func TestWhatTheJournalKeeps(t *testing.T) {
	t.Parallel()
	out, ofOut := stream(t)
	errs, ofErrs := stream(t)
	_, other := stream(t)
	for name, c := range map[string]struct {
		s    Streams
		kept bool
	}{
		"both streams":                 {Streams{Out: out, Err: out, Env: []string{"JOURNAL_STREAM=" + ofOut}}, true},
		"standard output":              {Streams{Out: out, Err: errs, Env: []string{"JOURNAL_STREAM=" + ofOut}}, true},
		"two, named by the second":     {Streams{Out: out, Err: errs, Env: []string{"JOURNAL_STREAM=" + ofErrs}}, true},
		"inherited, written elsewhere": {Streams{Out: out, Err: errs, Env: []string{"JOURNAL_STREAM=" + other}}, false},
		"a terminal":                   {Streams{Out: out, Err: errs, Env: []string{"JOURNAL_STREAM=" + ofErrs}, Terminal: &Terminal{Out: true}}, false},
		"a pipe":                       {Streams{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Env: []string{"JOURNAL_STREAM=" + ofOut}}, false},
		"nothing said":                 {Streams{Out: out, Err: errs}, false},
		"nonsense":                     {Streams{Out: out, Err: errs, Env: []string{"JOURNAL_STREAM=:"}}, false},
	} {
		if got := c.s.toJournal(); got != c.kept {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A key that is printed into the journal stays there for good: a service's first start puts keys into files of the data folder and says where.
func TestTheFirstStartOfAServiceKeepsKeysOutOfTheJournal(t *testing.T) {
	t.Parallel()
	journal, name := stream(t)
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	// Of a start that was killed before there was an app.
	if err := os.WriteFile(filepath.Join(data, "demo-key"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, []string{"serve"}, Streams{In: strings.NewReader(""), Out: journal, Err: journal, Env: []string{"COMMS_ADDR=localhost:0", "COMMS_DATA_DIR=" + data, "JOURNAL_STREAM=" + name}})
	}()
	words := func() string {
		b, err := os.ReadFile(journal.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for !strings.Contains(words(), "documentation of this version") {
		select {
		case code := <-ended:
			t.Fatalf("it ended with exit code %d:\n%s", code, words())
		case <-time.After(10 * time.Millisecond):
		}
	}
	url := regexp.MustCompile(`running on (\S+)`).FindStringSubmatch(words())[1]
	keys := map[string]string{}
	for _, file := range []string{"demo-key", "admin-key"} {
		path := filepath.Join(data, file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info, err)
		}
		keys[file] = strings.TrimSpace(string(b))
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/messages", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"X-App-Id": {"demo"}, "X-Api-Key": {keys["demo-key"]}}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the key of the file is answered %d", res.StatusCode)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
	for file, key := range keys {
		if len(key) < 16 || strings.Contains(words(), key) || !strings.Contains(words(), filepath.Join(data, file)+"\n") {
			t.Errorf("%s, with %d characters: the journal has\n%s", file, len(key), words())
		}
	}
}
