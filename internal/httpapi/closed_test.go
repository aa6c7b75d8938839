package httpapi

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// openObjects are the objects of answers that may hold what the contract does not name, with the reason.
func openObjects() map[string]string {
	return map[string]string{
		"Error.details": "members by code, such as missing and segments", "BatchItem.details": "as of an error", "ImportedLine.details": "as of an error",
		"Error.details.fields": "by the names of fields", "BatchItem.details.fields": "likewise", "ImportedLine.details.fields": "likewise",
		"MessageItem.metadata": "the app's own", "Message.metadata": "the app's own", "ChangedMessage.metadata": "the app's own", "Capture.metadata": "the app's own", "FeedEvent.message.metadata": "the app's own",
		"WholeDelivery.body":        "the event as it is posted",
		"AdminMessageItem.metadata": "the app's own", "AdminMessage.metadata": "the app's own", "ChangedAdminMessage.metadata": "the app's own", "Capture.headers": "by the names of the mail's headers", "AdminMessage.headers": "likewise",
		"App.smsPerDayByPrefix": "by the beginnings of numbers", "App.smsTodayByPrefix": "likewise", "ChangedApp.smsPerDayByPrefix": "likewise", "ChangedApp.smsTodayByPrefix": "likewise",
		"/api/openapi": "the contract itself", "Readiness.checks": "by the names of parts", "AuditEntry.detail": "facts of the changed thing, none of them secret", "AuditEntry.detail.*": "before and after", "Preview.suppression": "null, or an entry of the list",
	}
}

// TestAnswersAreClosed (S12): every object in an answer lists its members, so that TestAnswersFitTheContract
// finds any that is more, but for those that are open for a reason.
func TestAnswersAreClosed(t *testing.T) {
	t.Parallel()
	c := readContract(t)
	unused := openObjects()
	closed := 0
	var walk func(schema map[string]any, at string, seen map[string]bool)
	walk = func(schema map[string]any, at string, seen map[string]bool) {
		if ref, ok := schema["$ref"].(string); ok {
			if at = strings.TrimPrefix(ref, "#/components/schemas/"); seen[at] {
				return
			}
			seen[at] = true
			schema = dig(c.Schemas, at)
		}
		properties := dig(schema, "properties")
		kinds, _ := schema["type"].([]any)
		if schema["type"] == "object" || slices.Contains(kinds, "object") || len(properties) > 0 {
			if schema["additionalProperties"] == false {
				closed++
			} else if openObjects()[at] == "" {
				t.Errorf("%s is open: say additionalProperties: false, or give a reason in openObjects", at)
			}
			delete(unused, at)
		}
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			walk(dig(properties, name), at+"."+name, seen)
		}
		for _, inner := range []string{"items", "additionalProperties"} {
			if s := dig(schema, inner); s != nil {
				walk(s, at+map[string]string{"items": "[]", "additionalProperties": ".*"}[inner], seen)
			}
		}
		alternatives, _ := schema["anyOf"].([]any)
		for _, s := range alternatives {
			walk(s.(map[string]any), at, seen)
		}
	}
	seen := map[string]bool{}
	for path, methods := range dig(c.Doc, "paths") {
		for method := range methods.(map[string]any) {
			for status := range dig(c.Doc, "paths", path, method, "responses") {
				if schema := dig(c.Doc, "paths", path, method, "responses", status, "content", "application/json", "schema"); schema != nil {
					walk(schema, path, seen)
				}
			}
		}
	}
	if closed < 15 {
		t.Errorf("only %d closed objects were found", closed)
	}
	for name := range unused {
		t.Errorf("%s is not in any answer, or is closed", name)
	}
}
