// The tables that the server and the browser share. From the brace on this file is JSON:
// `web/tables.py` reads the same file, so that each table exists once.
export default {
  "units": {
    "percent": "%",
    "c": "°C",
    "f": "°F",
    "k": "K",
    "w": "W",
    "kw": "kW",
    "wh": "Wh",
    "kwh": "kWh",
    "v": "V",
    "a": "A",
    "pa": "Pa",
    "hpa": "hPa",
    "bar": "bar",
    "mm": "mm",
    "cm": "cm",
    "m": "m",
    "km": "km",
    "ms": "ms",
    "s": "s",
    "min": "min",
    "h": "h",
    "hz": "Hz",
    "lux": "lx",
    "db": "dB",
    "ppm": "ppm",
    "g": "g",
    "kg": "kg",
    "l": "l",
    "deg": "°"
  },
  "percent_fields": ["battery", "humidity", "level", "brightness"],
  "first_fields": [
    "mood",
    "hugged",
    "status",
    "on",
    "open",
    "locked",
    "temperature",
    "humidity",
    "level",
    "power"
  ],
  "describing_fields": ["label", "kind", "image"],
  "describing_suffix": "_at",
  "picture_ignored_fields": ["battery", "label", "kind", "image", "color"],
  "yes_values": [true, 1, "true", "yes", "on"],
  "data_pattern": "data:(\\w+)/[^,;]{1,80}(?:;[^,;]{1,80})*?(;base64)?,",
  "image_pattern": "(?:data:image/|/(?!/))[^\\x00-\\x20\\\\]*",
  "color_pattern":
    "#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})|[a-z]{3,24}|(?:rgb|hsl)a?\\([-0-9 .,%/]{1,60}\\)",
  "pictures": [
    {
      "name": "image",
      "when": [{ "field": "image", "is": "image" }],
      "kinds": [],
      "alt": []
    },
    {
      "name": "cloud",
      "when": [{ "field": "mood", "is": "plain" }],
      "kinds": ["cloud"],
      "alt": [["hugged:yes", "asleep:yes", "mood:word"], ["battery:spoken"]]
    },
    {
      "name": "gauge",
      "when": [
        { "suffix": "_percent", "is": "number" },
        { "field": "level", "is": "number" },
        { "field": "humidity", "is": "number" },
        { "field": "brightness", "is": "number" }
      ],
      "kinds": ["gauge", "tank"],
      "alt": [["$:spoken"]]
    },
    {
      "name": "number",
      "when": [{ "suffix": "", "is": "number" }],
      "kinds": ["number", "temperature", "power", "meter"],
      "alt": [["$:spoken"]]
    },
    {
      "name": "icon",
      "when": [
        { "suffix": "", "is": "yes_no" },
        { "suffix": "", "is": "word" }
      ],
      "kinds": ["icon", "light", "lamp", "door", "window", "lock", "motion", "plug", "switch"],
      "alt": [["$:spoken"]]
    },
    { "name": "box", "when": [], "kinds": ["box"], "alt": [] }
  ],
  "icons": [
    { "name": "light", "kinds": ["light", "lamp"], "fields": ["on"], "yes": "on", "no": "off" },
    {
      "name": "door",
      "kinds": ["door", "window"],
      "fields": ["open"],
      "yes": "open",
      "no": "closed"
    },
    {
      "name": "lock",
      "kinds": ["lock"],
      "fields": ["locked"],
      "yes": "locked",
      "no": "unlocked"
    },
    {
      "name": "motion",
      "kinds": ["motion"],
      "fields": ["motion", "moving", "presence"],
      "yes": "moving",
      "no": "still"
    },
    {
      "name": "switch",
      "kinds": ["switch", "plug"],
      "fields": ["status", "power", "pump"],
      "yes": "on",
      "no": "off"
    },
    { "name": "box", "kinds": [], "fields": [], "yes": "", "no": "" }
  ],
  "timeline": {
    "lanes": 6,
    "word_length": 32,
    "band_height": 54,
    "number_height": 82,
    "axis_height": 26
  },
  "filters": [
    { "key": "live", "mark": "live", "word": "Live" },
    { "key": "silent", "mark": "late", "word": "Silent" },
    { "key": "away", "mark": "away", "word": "Queue away" },
    { "key": "lost", "mark": "unknown", "word": "Last known" },
    { "key": "undated", "mark": "unknown", "word": "No deadline" }
  ]
};
