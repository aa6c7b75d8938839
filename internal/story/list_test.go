package story

import (
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

// TestWhetherLaterMessagesAreHeldBack: of everything that may have put an address on the list the story says whether it is on it
// now, since when and why, and what that asks for; it says that it cannot tell only where nobody could read the list.
func TestWhetherLaterMessagesAreHeldBack(t *testing.T) {
	t.Parallel()
	ended := func(status string, sandbox bool, detail string, causes ...comm.Cause) client.Stored {
		m := client.Stored{Status: status, Channel: client.Email, ProviderName: "resend", Sandbox: sandbox, ErrorMessage: "550 no such user"}
		from := "SENT"
		for _, c := range causes {
			m.Events = append(m.Events, client.Event{Type: c.String(), From: from, To: status, Provider: "resend", Detail: detail})
			from = status
		}
		return m
	}
	on := func(reason string) List {
		return List{Read: true, Entry: &client.Suppression{Reason: reason, CreatedAt: noon()}}
	}
	off, away := List{Read: true}, List{}
	bounce := ended("FAILED", false, "", comm.CauseReportFailed)
	refused := ended("FAILED", false, "550 no such user"+comm.SuppressedNow, comm.CauseProviderRejected)
	const right = "If the address is right after all, take it off the list, then queue this one again."
	for name, tc := range map[string]struct {
		m              client.Stored
		list           List
		next, do, none string
	}{
		"bounced, and held back":       {bounce, on(comm.SuppressHardBounce), "Later messages to the address are held back: it is on the app's suppression list, as one that does not exist, since at noon.", right, "queue this one again. If"},
		"bounced, and opted out":       {bounce, on(comm.SuppressUnsubscribed), "held back: it is on the app's suppression list, as one whose owner wants no more messages", right, ""},
		"bounced, for a newer reason":  {bounce, on("of_tomorrow"), "for the reason of_tomorrow, since at noon", right, ""},
		"bounced for now":              {bounce, off, "Later messages to the address are sent: it is not on the app's suppression list.", "Check the address, and send a new message to the right one.", "off the list"},
		"bounced, list away":           {bounce, away, "Whether later messages to the address are held back cannot be told", "Check the address", "are sent"},
		"refused, and held back":       {refused, on(comm.SuppressHardBounce), "held back: it is on the app's suppression list", right, ""},
		"refused, and taken off since": {refused, off, "Later messages to the address are sent: this put it on the app's suppression list, and somebody has taken it off since.", "Correct the address or the content", "held back"},
		"refused, list away":           {refused, away, "This put the address on the app's suppression list, and later messages to it are held back unless", right, ""},
		"complained, and held back":    {ended("DELIVERED", false, "", comm.CauseReportDelivered, comm.CauseComplaint), on(comm.SuppressComplaint), "held back: it is on the app's suppression list, for a complaint, since at noon", "Write to nobody", ""},
		"complained, and taken off":    {ended("SENT", false, "", comm.CauseProviderAccepted, comm.CauseComplaint), off, "Later messages to the address are sent", "Write to nobody", "held back"},
		"bounced after delivery":       {ended("DELIVERED", false, "", comm.CauseReportDelivered, comm.CauseBouncedAfterDelivery), on(comm.SuppressHardBounce), "held back: it is on the app's suppression list", "Check the address", ""},
		"held back":                    {client.Stored{Status: "SUPPRESSED"}, on(comm.SuppressManual), "held back: it is on the app's suppression list, put there by hand, since at noon", "take the address off the list", ""},
		"held back, and taken off":     {client.Stored{Status: "SUPPRESSED"}, off, "Later messages to the address are sent: it has been taken off the list since.", "send it as a new message", "held back"},
		"held back, list away":         {client.Stored{Status: "SUPPRESSED"}, away, "cannot be told", "take the address off the list", ""},
		"failed for another reason":    {ended("FAILED", false, "", comm.CauseExhausted), off, "Nothing more is tried by itself.", "Queue it again", "address"},
		"bounced, and said again":      {ended("FAILED", false, "", comm.CauseReportFailed, comm.CauseReportDuplicate), off, "it is not on the app's suppression list", "Check the address", ""},
		"a bounce of the sandbox":      {ended("FAILED", true, "", comm.CauseReportFailed), on(comm.SuppressHardBounce), "Later messages to the address are held back: it is on the app's suppression list, as one that does not exist, since at noon.", "Nothing has to be done: the sandbox sends nothing, and does what the address of a test asks for. For another test with the same address take it off the list", "Correct"},
		"the same, and taken off":      {ended("FAILED", true, "", comm.CauseReportFailed), off, "Later messages to the address are sent", "Nothing has to be done", "off the list"},
		"a complaint of the sandbox":   {ended("DELIVERED", true, "", comm.CauseReportDelivered, comm.CauseComplaint), on(comm.SuppressComplaint), "held back: it is on the app's suppression list, for a complaint, since at noon", "For another test with the same address take it off the list", "Write to nobody"},
		"a delivery of the sandbox":    {ended("DELIVERED", true, "", comm.CauseReportDelivered), off, "Nothing more. It can be read in the sandbox inbox.", "", "Nothing has"},
		"refused in the sandbox":       {ended("FAILED", true, "", comm.CauseProviderRejected), off, "Nothing more is tried by itself.", "Nothing has to be done", "Later messages"},
	} {
		s := Tell(&tc.m, beside(func(time.Time) string { return "at noon" }, tc.list))
		if !strings.Contains(s.Next, tc.next) || !strings.Contains(s.Do, tc.do) || tc.none != "" && strings.Contains(s.Next+" "+s.Do, tc.none) || strings.Contains(s.Next+s.Do, "may be suppressed") {
			t.Errorf("%s: next %q, do %q", name, s.Next, s.Do)
		}
		if asks, told := AsksList(&tc.m), strings.Contains(s.Next, "Later messages") || strings.Contains(s.Next, "cannot be told") || strings.Contains(s.Next, "This put"); asks != told {
			t.Errorf("%s: the list is asked for: %t; told of: %t", name, asks, told)
		}
	}
	for _, w := range comm.SuppressionReasons() {
		if listReasons[w.Code] == "" {
			t.Errorf("%s is a reason without words", w.Code)
		}
	}
}
