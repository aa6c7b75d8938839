// Package browser drives a real browser over the pages of the built program: every page on phone and desktop, light
// and dark, by keyboard, judged by axe-core, and with texts in every field that try to run as scripts.
//
// Every act of the console is done in it as well, by keyboard alone: what each form does, with its confirmation, and what then
// stands on the page and in the API. And who has a role sees nothing that the role is refused.
//
// The browser's side is in the programs beside these tests (driver.mjs), the pages in pages.mjs, the acts in acts.mjs, the
// server's past in the package staged. Without Chromium, node or the packages of package.json the tests are skipped and
// counted as skipped; scripts/setup.sh installs them, or says what is missing.
package browser

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	_ "github.com/commserver/commserver/internal/cli" // what the program is built of: without it a result from before a change would be taken for one of now
	"github.com/commserver/commserver/test/browser/staged"
	"github.com/commserver/commserver/test/build"
)

var (
	product build.Program
	node    driver
	scene   stage
)

func TestMain(m *testing.M) {
	code := m.Run()
	node.end()
	scene.end()
	product.Remove()
	os.Exit(code)
}

// full says whether everything is looked at in every way, which takes minutes.
func full() bool { return os.Getenv("COMMS_TEST_FULL") != "" }

// driver is the one node process, with its one Chromium, that all tests of the package share. It does one thing at a time.
type driver struct {
	mu  sync.Mutex
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	why string // why there is none
}

// verdict is one line of the driver: what was looked at, and whether it is well.
type verdict struct {
	Page, Setting, Check string
	OK                   bool
	Detail               string

	Path, Text string // of pages that were read
	Status     int
	Asked      int   // pages of a walk with texts that try to run
	Numbers    []int // of payloads that stand on them

	Posts []string // paths that took a form in an act that is well

	End   bool
	Error string
}

func (d *driver) start() {
	if d.cmd != nil || d.why != "" {
		return
	}
	if _, err := exec.LookPath("node"); err != nil {
		d.why = "node is not here"
	} else if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		d.why = "the packages are not here; to run this test: npm ci --prefix test/browser"
	} else if !chromium() {
		d.why = "chromium is not here"
	}
	if d.why != "" {
		return
	}
	programs, err := filepath.Glob("*.mjs")
	more, _ := filepath.Glob("acts/*.mjs")           // the pattern is right
	for _, name := range append(programs, more...) { // for the same reason
		if err == nil {
			_, err = os.ReadFile(name)
		}
	}
	d.cmd = exec.Command("node", "driver.mjs")
	d.cmd.Stderr = os.Stderr
	if err == nil {
		d.in, err = d.cmd.StdinPipe()
	}
	if err == nil {
		var out io.ReadCloser
		if out, err = d.cmd.StdoutPipe(); err == nil {
			d.out = bufio.NewReaderSize(out, 1<<20)
			err = d.cmd.Start()
		}
	}
	if err != nil {
		panic(err)
	}
}

func chromium() bool {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if _, err := exec.LookPath(name); err == nil {
			return true
		}
	}
	return false
}

// need skips a test that cannot have a browser.
func need(t *testing.T) {
	t.Helper()
	node.mu.Lock()
	defer node.mu.Unlock()
	if node.start(); node.why != "" {
		t.Skip(node.why)
	}
}

// do gives the driver an order and answers its verdicts. world is what the order needs to know.
func (d *driver) do(t *testing.T, order string, world any) (all []verdict) {
	t.Helper()
	line, err := json.Marshal(map[string]any{"do": order, "world": world})
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.start()
	if _, err := d.in.Write(append(line, '\n')); err != nil {
		t.Fatalf("the driver has ended: %v", err)
	}
	for {
		said, err := d.out.ReadBytes('\n')
		if err != nil {
			t.Fatalf("the driver has ended: %v %s", err, said)
		}
		var v verdict
		if err := json.Unmarshal(said, &v); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		if v.Error != "" {
			t.Fatalf("%s: %s", order, v.Error)
		}
		if v.End {
			return all
		}
		all = append(all, v)
	}
}

func (d *driver) end() {
	if d.cmd == nil {
		return
	}
	_ = d.in.Close()
	ended := make(chan error, 1)
	go func() { ended <- d.cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		_ = d.cmd.Process.Kill()
	}
}

// stage is the one server with a past that tests share which change nothing of it.
type stage struct {
	once  sync.Once
	world *staged.World
	dir   string
	err   error
}

func (s *stage) start(t *testing.T) *staged.World {
	t.Helper()
	s.once.Do(func() {
		var path string
		if path, s.err = product.Path(); s.err != nil {
			return
		}
		if s.dir, s.err = os.MkdirTemp("", "commserver-browser-"); s.err == nil {
			s.world, s.err = staged.Start(t.Context(), staged.Options{Program: path, Dir: s.dir})
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.world
}

func (s *stage) end() {
	if s.world != nil {
		if err := s.world.Stop(); err != nil {
			_, _ = io.WriteString(os.Stderr, errors.Join(errors.New("the staged server"), err).Error()+"\n")
		}
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
