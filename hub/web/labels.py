"""Codes of releases and records, in words; French here, English in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from consent.purposes import PURPOSES
from hub.errors import Language
from hub.web.figures import Area
from hub.web.words import N_, said, say

LABELS: Final[Mapping[str, Mapping[str, str]]] = {
    "mode": {
        "active": N_("Marche et vélo"),
        "public_transport": N_("Transports en commun"),
        "car": N_("Voiture"),
        "other": N_("Autre"),
    },
    "geography": {
        "region": N_("Région"),
        "department": N_("Département"),
        "lycees": N_("Autres lycées du département"),
        "lycee": N_("Lycée"),
    },
    "population": {
        "pupil": N_("Élèves avant le bac"),
        "post-bac": N_("Étudiants après le bac"),
        "staff": N_("Personnels"),
    },
    "variant": {
        "dedicated": N_("Dépose exprès, retour à vide compté"),
        "detour": N_("Dépose en chemin, détour seul compté"),
    },
    "scope": {
        "use": N_("Usage"),
        "manufacture": N_("Fabrication"),
    },
    "contributors": {
        "11-20": N_("11 à 20 participants"),
        "21-50": N_("21 à 50 participants"),
        "51-100": N_("51 à 100 participants"),
        "101+": N_("101 participants ou plus"),
    },
    "note": {
        "in-group": N_("compté avec les autres lycées de son département"),
        "in-department": N_("compté dans son département"),
        "in-region": N_("compté dans la région"),
        "withheld": N_("non publié"),
    },
    "layer": {
        "lycee": N_("Lycée"),
        "stop": N_("Arrêt de transport"),
        "carpool": N_("Aire de covoiturage"),
    },
    "role": {
        "partner": N_("partenaire"),
        "collectivity": N_("collectivité"),
        "school": N_("établissement"),
        "operator": N_("exploitant"),
        "steward": N_("intendant des données"),
        "dpo": N_("déléguée ou délégué à la protection des données"),
        "auditor": N_("auditeur"),
    },
    "outcome": {
        "done": N_("fait"),
        "refused": N_("refusé"),
    },
    "consent": {
        "given": N_("Donnés"),
        "refused": N_("Refus"),
        "objected": N_("Oppositions"),
        "withdrawn": N_("Retirés"),
    },
    "push": {
        "accepted": N_("en cours"),
        "stored": N_("traité"),
        "refused": N_("refusé"),
    },
    "stage": {
        "waiting": N_("en attente"),
        "receiving": N_("envoi"),
        "assembling": N_("assemblage"),
        "opening": N_("ouverture"),
        "reading": N_("lecture"),
        "recording": N_("enregistrement"),
        "logging": N_("inscription au journal"),
        "done": N_("terminé"),
    },
    "kind": {
        "string": N_("texte"),
        "date": N_("date AAAA-MM-JJ"),
        "datetime": N_("date et heure ISO 8601"),
        "number": N_("nombre, point décimal"),
        "integer": N_("entier"),
        "boolean": N_("true, false, 1 ou 0"),
        "array": N_("liste"),
    },
    "effect": {
        "file": N_("Le fichier entier est refusé"),
        "row": N_("La ligne est mise de côté"),
        "kept": N_("La ligne est gardée, et signalée"),
    },
    "column": {
        "period": N_("Période"),
        "date": N_("Jour"),
        "quarter_hour": N_("Heure"),
        "uai": N_("Lycée"),
        "direction": N_("Sens du trajet"),
        "origin_commune": N_("Commune"),
        "origin_cell": N_("Carré d’un kilomètre"),
        "distance_m": N_("Distance"),
        "duration_s": N_("Durée"),
        "main_mode": N_("Moyen principal"),
        "sections": N_("Étapes"),
        "app_co2_kg": N_("CO2 (kg)"),
        "fare_action": N_("Action"),
        "trip_id": N_("Course"),
        "stop_id": N_("Arrêt"),
        "rider_category": N_("Voyageur"),
        "fare_product": N_("Titre"),
        "population": N_("Je suis"),
    },
    "direction": {"outward": N_("vers le lycée"), "return": N_("retour")},
    "person": {
        "pupil": N_("élève"),
        "post-bac": N_("post-bac"),
        "staff": N_("personnel"),
        "unknown": N_("non précisé"),
    },
    "action": {"Enter": N_("montée"), "Exit": N_("descente")},
    "means": {
        "WALKING": N_("à pied"),
        "ON_FOOT": N_("à pied"),
        "RUNNING": N_("en courant"),
        "BICYCLING": N_("vélo"),
        "BICYCLING_ELECTRIC": N_("vélo électrique"),
        "SCOOTER_ELECTRIC": N_("trottinette électrique"),
        "BUS": N_("bus ou car"),
        "BUS_ELECTRIC": N_("bus ou car électrique"),
        "TRAMWAY": N_("tramway"),
        "SUBWAY": N_("métro"),
        "TRAIN": N_("train"),
        "CAR": N_("voiture"),
        "CAR_ELECTRIC": N_("voiture électrique"),
        "CARPOOL": N_("covoiturage"),
        "CARPOOL_ELECTRIC": N_("covoiturage électrique"),
        "IN_VEHICLE": N_("en véhicule"),
        "MOPED": N_("cyclomoteur"),
        "MOTO_INF_250": N_("moto"),
        "MOTO_SUP_250": N_("moto"),
        "AIR_OR_HSR": N_("avion ou train à grande vitesse"),
        "UNKNOWN": N_("inconnu"),
    },
    "who": {
        "partner": N_("C’est au partenaire qui envoie de corriger."),
        "person": N_("Vous pouvez corriger et recommencer."),
        "operator": N_("C’est à l’exploitant du hub d’agir."),
        "steward": N_("C’est à l’intendant des données de décider."),
        "developer": N_("C’est un défaut du programme ou de l’adresse demandée."),
    },
    "measure": {
        "modal-split": N_("Répartition modale"),
        "carbon-balance": N_("Bilan carbone"),
        "places": N_("Lieux de la carte"),
        "presence": N_("Présence par demi-heure"),
    },
}


def label(language: Language, family: str, code: str) -> str:
    """The words of a code; the code itself where it is not known, so that nothing is hidden."""
    message = LABELS[family].get(code)
    return say(language, message) if message else code


def purpose(language: Language, code: str) -> str:
    """What somebody's data may be used for, by its name; the code where it is not known."""
    known = PURPOSES.get(code)
    return said(language, known.title) if known else code


def area(language: Language, found: Area, departments: Mapping[str, str]) -> str:
    """The name of an area; a department's other lycées are named here, releases speak French."""
    department = departments.get(found.department)
    if found.geography == "lycees" and department:
        return say(language, N_("Autres lycées : %(name)s")) % {"name": department}
    return found.name


def modes(language: Language, codes: tuple[str, ...]) -> str:
    """Words of merged modes."""
    return " + ".join(label(language, "mode", code) for code in codes)
