package hub.push_test

import data.hub.push

# Each case is the question asked above with one thing changed, and the reasons it is refused for.
asked := {
	"actor": {"id": "c-1", "role": "partner", "organisation": "coachco2", "scopes": ["push"]},
	"partner": "coachco2",
	"dataset": "trips",
	"agreement": {
		"basis": "consent",
		"purpose": "school-mobility",
		"demo": false,
		"impact_assessment": "AIPD-2025-12",
		"legal_text": "",
	},
}

cases := {
	"its own dataset": {"question": asked, "reasons": []},
	"another's dataset": {
		"question": json.patch(asked, [{"op": "add", "path": "/partner", "value": "orange"}]),
		"reasons": ["not_own_organisation"],
	},
	"without a scope": {
		"question": json.patch(asked, [{"op": "add", "path": "/actor/scopes", "value": []}]),
		"reasons": ["scope_missing"],
	},
	"without an agreement": {
		"question": json.patch(asked, [{"op": "add", "path": "/agreement", "value": null}]),
		"reasons": ["agreement_missing"],
	},
	"without an impact assessment": {
		"question": json.patch(asked, [{"op": "add", "path": "/agreement/impact_assessment", "value": ""}]),
		"reasons": ["impact_assessment_missing"],
	},
	"in the demonstration, without one": {
		"question": json.patch(asked, [
			{"op": "add", "path": "/agreement/impact_assessment", "value": ""},
			{"op": "add", "path": "/agreement/demo", "value": true},
		]),
		"reasons": [],
	},
	"nothing": {
		"question": {},
		"reasons": [
			"agreement_missing",
			"dataset_missing",
			"not_own_organisation",
			"role_may_not_push",
			"scope_missing",
		],
	},
}

test_cases[name] if {
	some name, wanted in cases
	made := push.decision with input as wanted.question
	made.reasons == wanted.reasons
	allowed := count(wanted.reasons) == 0
	made.allow == allowed
}
