package console

import (
	"net/http"

	"github.com/commserver/commserver/client"
)

const holdPath = Root + "/hold"

func (c *Console) holdRoutes() []route {
	return []route{
		{"GET", holdPath, "queue", actSee, false, (*visit).showHold},
		{"GET", holdPath + "/release", "queue", actRule, false, (*visit).confirmRelease},
		{"POST", holdPath + "/release", "queue", actRule, false, (*visit).release},
	}
}

// States of a hold that keep a server from sending.
const (
	heldState      = "HELD"
	releasingState = "RELEASING"
)

// holdOf is what keeps the server from sending; nil when nothing does.
func (v *visit) holdOf() (*client.Hold, error) {
	admin, err := v.admin()
	if err != nil {
		return nil, err
	}
	h, err := admin.Hold(v.ctx())
	if err != nil || h.State != heldState && h.State != releasingState {
		return nil, err
	}
	return h, nil
}

// releaseChoice is what can become of messages that may have been sent since the backup.
type releaseChoice struct{ Word, Name, What string }

func releases() []releaseChoice {
	return []releaseChoice{
		{client.ReleaseFail, "Fail them", "They end failed, with an unknown outcome: nobody gets anything twice, somebody may miss it. Each can be queued again."},
		{client.ReleasePolicy, "Let each app decide", "As the app is set for unknown outcomes: those that try again send them, the others end them failed."},
		{client.ReleaseSend, "Send them", "Those that waited are sent, and who has got one already gets it a second time. A call that was under way ends as its app is set for unknown outcomes."},
	}
}

// holdPage is what a restored server waits for.
type holdPage struct {
	H       *client.Hold
	Choices []releaseChoice
}

func (v *visit) showHold() error {
	h, err := v.holdOf()
	if err != nil {
		return err
	}
	return v.show("hold", page{Title: "Restored server", Trail: []crumb{{"Queue", queuePath}}, Data: holdPage{h, releases()}})
}

// theRelease is the choice that the query or the form names.
func theRelease(word string) (releaseChoice, error) {
	for _, one := range releases() {
		if one.Word == word {
			return one, nil
		}
	}
	return releaseChoice{}, refusal{http.StatusBadRequest, "Say what becomes of what may have been sent.", "Go back and choose one of the three ways."}
}

func (v *visit) confirmRelease() error {
	one, err := theRelease(v.asked("doubtful"))
	if err != nil {
		return err
	}
	h, err := v.holdOf()
	if err != nil {
		return err
	}
	if h == nil {
		return v.showHold()
	}
	return v.confirm(confirmation{Title: "Release this server?", Lead: "From now on it sends. " + one.What,
		Points: []string{plural(h.MayHaveBeenSent, "message may", "messages may") + " have been sent since the backup.", "Everything else that waits is sent as its turn comes.", "It cannot be taken back."},
		Action: holdPath + "/release", Fields: []hidden{{"doubtful", one.Word}}, Button: "Release it", Back: holdPath, Trail: []crumb{{"Queue", queuePath}, {"Restored server", holdPath}}})
}

func (v *visit) release() error {
	one, err := theRelease(v.r.PostForm.Get("doubtful"))
	if err != nil {
		return err
	}
	admin, err := v.admin()
	if err != nil {
		return err
	}
	if _, err := admin.Release(v.ctx(), one.Word); err != nil {
		return v.undone(holdPath, err)
	}
	return v.done(holdPath, "The server is being released.")
}
