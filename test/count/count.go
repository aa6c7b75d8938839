package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is one line of `go test -json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

// key names a test; Test is empty for the package itself.
type key struct{ Package, Test string }

// counter adds up results. A test with subtests stands for itself only when it
// fails and none of them did: else the subtests are what was tested.
type counter struct {
	out     io.Writer
	results map[key]string // "pass", "fail" or "skip"
	output  map[key][]string
	parents map[key]bool
	builds  map[string][]string // import path -> what the compiler said
	broken  []string            // packages that did not build, or ended outside a test
	took    map[key]float64     // seconds of each test that is no subtest
}

func newCounter(out io.Writer) *counter {
	return &counter{out: out, results: make(map[key]string), output: make(map[key][]string),
		parents: make(map[key]bool), builds: make(map[string][]string), took: make(map[key]float64)}
}

// read takes the output of one run. Lines that are not JSON are passed on.
func (c *counter) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if len(lines.Bytes()) == 0 || lines.Bytes()[0] != '{' || json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(c.out, lines.Text())
			continue
		}
		c.add(e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read test results: %w", err)
	}
	return nil
}

func (c *counter) add(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		c.builds[e.ImportPath] = append(c.builds[e.ImportPath], e.Output)
	case "build-fail":
		c.broken = append(c.broken, e.ImportPath)
		fmt.Fprintf(c.out, "FAIL  %s does not build\n%s", e.ImportPath, strings.Join(c.builds[e.ImportPath], ""))
	case "output":
		c.output[k] = append(c.output[k], e.Output)
	case "run":
		if i := strings.LastIndexByte(e.Test, '/'); i >= 0 {
			c.parents[key{e.Package, e.Test[:i]}] = true
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			c.endPackage(e)
			return
		}
		if c.results[k] != "fail" { // of a test that runs in two ways the failure counts
			c.results[k] = e.Action
		}
		if !strings.Contains(e.Test, "/") {
			c.took[k] = e.Elapsed
		}
		if e.Action == "pass" {
			delete(c.output, k)
		}
	}
}

// endPackage prints one line for a package, and the output of what failed in it.
func (c *counter) endPackage(e event) {
	if e.Action != "fail" {
		if e.Action == "pass" {
			fmt.Fprintf(c.out, "ok    %s  %.1fs\n", e.Package, e.Elapsed)
		}
		return
	}
	fmt.Fprintf(c.out, "FAIL  %s  %.1fs\n", e.Package, e.Elapsed)
	named := false
	for _, k := range c.sorted() {
		if k.Package == e.Package && c.results[k] == "fail" && !c.failedBelow(k) {
			named = true
			fmt.Fprintf(c.out, "--- %s\n%s", k.Test, strings.Join(c.output[k], ""))
		}
	}
	// A crash or a time-out leaves tests without a result: their output holds the cause, or
	// the package's own (how the process ended).
	cut := false
	for _, k := range c.sortedOutput() {
		if k.Package == e.Package && k.Test != "" && c.results[k] == "" {
			fmt.Fprintf(c.out, "--- %s did not end\n%s", k.Test, strings.Join(c.output[k], ""))
			c.results[k], named, cut = "fail", true, true
		}
	}
	if cut {
		fmt.Fprint(c.out, strings.Join(c.output[key{e.Package, ""}], ""))
	}
	if !named && !slices.Contains(c.broken, e.Package) && !strings.Contains(strings.Join(c.output[key{e.Package, ""}], ""), "[build failed]") {
		c.broken = append(c.broken, e.Package)
		fmt.Fprint(c.out, strings.Join(c.output[key{e.Package, ""}], ""))
	}
}

func (c *counter) sorted() []key       { return slices.SortedFunc(maps.Keys(c.results), compare) }
func (c *counter) sortedOutput() []key { return slices.SortedFunc(maps.Keys(c.output), compare) }

func compare(a, b key) int {
	return strings.Compare(a.Package+"\x00"+a.Test, b.Package+"\x00"+b.Test)
}

func (c *counter) failedBelow(parent key) bool {
	for k, result := range c.results {
		if result == "fail" && k.Package == parent.Package && strings.HasPrefix(k.Test, parent.Test+"/") {
			return true
		}
	}
	return false
}

// showSlowest names the tests that the whole run waits for most: where to look when it takes too long.
func (c *counter) showSlowest() {
	const most, worth = 25, 5.0
	slow := slices.SortedFunc(maps.Keys(c.took), func(a, b key) int { return cmp.Compare(c.took[b], c.took[a]) })
	for i, k := range slow {
		if i == most || c.took[k] < worth {
			return
		}
		if i == 0 {
			fmt.Fprintln(c.out, "the slowest tests:")
		}
		fmt.Fprintf(c.out, "%7.1fs  %s  %s\n", c.took[k], k.Test, k.Package)
	}
}

// totals counts tests; a package that does not build or ends outside a test is one failure.
func (c *counter) totals() (passed, failed, skipped int) {
	failed = len(c.broken)
	for k, result := range c.results {
		switch {
		case result == "fail" && !c.failedBelow(k):
			failed++
		case c.parents[k] || result == "fail":
		case result == "pass":
			passed++
		case result == "skip":
			skipped++
		}
	}
	return passed, failed, skipped
}
