package hub.release_publish_test

import data.hub.release_publish

# Each case is the question asked above with one thing changed, and the reasons it is refused for.
asked := {
	"actor": {"id": "worker", "role": "worker", "organisation": "hub", "scopes": []},
	"release": {
		"measure": "modal-split",
		"period": "2025-2026",
		"plan_version": "1",
		"in_plan": true,
		"certificate_ok": true,
		"k_min": 11,
		"rows": 2,
		"suppressed_rows": 1,
		"columns": ["area", "estimate"],
		"personal_columns": [],
		"suppressed_carry_class": false,
		"sources": ["coachco2/trips"],
		"never_joined": [],
		"open": true,
		"exception": null,
		"operators_shown": [],
		"protection": "estimates",
		"protections_asked": ["estimates", "open"],
	},
}

cases := {
	"a protected table": {"question": asked, "reasons": []},
	"ten people": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/k_min", "value": 10}]),
		"reasons": ["too_few_people"],
	},
	"a failed certificate": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/certificate_ok", "value": false}]),
		"reasons": ["certificate_failed"],
	},
	"a pseudonym among the columns": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/columns", "value": ["area", "pseudonym"]}]),
		"reasons": ["personal_columns"],
	},
	"an operator's business, open": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/operators_shown", "value": ["orange"]}]),
		"reasons": ["business_secret_shown"],
	},
	"an operator's business, restricted": {
		"question": json.patch(asked, [
			{"op": "add", "path": "/release/operators_shown", "value": ["orange"]},
			{"op": "add", "path": "/release/open", "value": false},
			{"op": "add", "path": "/release/exception", "value": "business_secret"},
		]),
		"reasons": [],
	},
	"restricted without a reason": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/open", "value": false}]),
		"reasons": ["exception_missing"],
	},
	"a column without a name": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/columns", "value": ["area", ""]}]),
		"reasons": ["personal_columns"],
	},
	"figures about people, as they are": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/protection", "value": "open"}]),
		"reasons": ["protection_too_weak"],
	},
	"less protected than an agreement asks for": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/protection", "value": "volumes"}]),
		"reasons": ["protection_too_weak"],
	},
	"an agreement that asks for what nobody knows": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/protections_asked/-", "value": "secret"}]),
		"reasons": ["protection_too_weak", "protection_unknown"],
	},
	"by somebody": {
		"question": json.patch(asked, [{"op": "add", "path": "/actor/role", "value": "operator"}]),
		"reasons": ["not_the_worker"],
	},
	"nothing": {
		"question": {},
		"reasons": [
			"business_secret_shown",
			"certificate_failed",
			"exception_missing",
			"join_forbidden",
			"not_in_plan",
			"not_the_worker",
			"nothing_to_publish",
			"personal_columns",
			"protection_too_weak",
			"protection_unknown",
			"release_unnamed",
			"suppressed_carries_class",
			"too_few_people",
		],
	},
}

test_cases[name] if {
	some name, wanted in cases
	made := release_publish.decision with input as wanted.question
	made.reasons == wanted.reasons
	allowed := count(wanted.reasons) == 0
	made.allow == allowed
}

# The strictest of what is asked for is what goes with the release.
test_strictest[name] if {
	some name, wanted in {
		"the plan's": {"asked": ["estimates", "open"], "obliged": "estimates"},
		"an agreement's": {"asked": ["open", "volumes"], "obliged": "volumes"},
		"none but the plan's": {"asked": ["open"], "obliged": "open"},
	}
	question := json.patch(asked, [{"op": "add", "path": "/release/protections_asked", "value": wanted.asked}])
	made := release_publish.decision with input as question
	made.obligations.protection == wanted.obliged
}
