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
		"signed": true,
		"signed_off": "",
		"begins": 10,
		"ends": 20,
	},
	"day": 20,
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
	"signed by one side only": {
		"question": json.patch(asked, [{"op": "add", "path": "/agreement/signed", "value": false}]),
		"reasons": ["agreement_not_signed"],
	},
	"the day after its last": {
		"question": json.patch(asked, [{"op": "add", "path": "/day", "value": 21}]),
		"reasons": ["agreement_not_in_force"],
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
