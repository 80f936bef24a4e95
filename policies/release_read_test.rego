package hub.release_read_test

import data.hub.release_read

# Each case is the question asked above with one thing changed, and the reasons it is refused for.
asked := {
	"actor": null,
	"release": {
		"measure": "modal-split",
		"open": true,
		"embargo_until": null,
		"protection": "estimates",
		"protection_asked": "estimates",
	},
	"purpose": null,
	"now": 1000,
}

cases := {
	"anyone": {"question": asked, "reasons": []},
	"under embargo": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/embargo_until", "value": 1001}]),
		"reasons": ["embargo"],
	},
	"after the embargo": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/embargo_until", "value": 1000}]),
		"reasons": [],
	},
	"restricted": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/open", "value": false}]),
		"reasons": ["restricted"],
	},
	"restricted, for whoever watches": {
		"question": json.patch(asked, [
			{"op": "add", "path": "/release/open", "value": false},
			{"op": "add", "path": "/actor", "value": {"id": "t", "role": "auditor"}},
			{"op": "add", "path": "/purpose", "value": "oversight"},
		]),
		"reasons": [],
	},
	"restricted, for a public body without a request": {
		"question": json.patch(asked, [
			{"op": "add", "path": "/release/open", "value": false},
			{"op": "add", "path": "/actor", "value": {"id": "t", "role": "collectivity"}},
			{"op": "add", "path": "/purpose", "value": "school-transport"},
		]),
		"reasons": ["restricted"],
	},
	"protected less than was asked for": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/protection", "value": "volumes"}]),
		"reasons": ["protection_too_weak"],
	},
	"nothing": {
		"question": {},
		"reasons": ["embargo", "protection_too_weak", "release_unnamed", "restricted"],
	},
}

test_cases[name] if {
	some name, wanted in cases
	made := release_read.decision with input as wanted.question
	made.reasons == wanted.reasons
	allowed := count(wanted.reasons) == 0
	made.allow == allowed
}
