package browser

import (
	"os/exec"
	"strings"
	"testing"
)

// TestStories holds each staged failure to what `commserver message get` says of it: whoever reads that alone must be able
// to say what happened and what happens next, which stands in staged/stories.json. The message page is held to the same in
// TestMessagePagesTellTheStory.
func TestStories(t *testing.T) {
	w := scene.start(t)
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	failures := 0
	for _, s := range w.Stories {
		if s.Happened == "" || s.Next == "" || len(s.Says) == 0 {
			t.Errorf("story %s does not say what a reader must know", s.Name)
		}
		if s.Name != "delivered" && s.Name != "scheduled" {
			failures++
		}
		if s.After > 30 && !full() {
			continue // it takes longer than everything else here
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			if _, err := w.Await(t.Context(), &s); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(path, "message", "get", s.Message, "--url", w.URL)
			cmd.Env = []string{"HOME=" + t.TempDir(), "COMMS_ADMIN_KEY=" + w.AdminKey}
			said, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			for _, words := range s.Says {
				if !strings.Contains(string(said), words) {
					t.Errorf("it does not say %q:\n%s", words, said)
				}
			}
		})
	}
	if failures < 12 {
		t.Errorf("%d failures are staged, fewer than 12", failures)
	}
}
