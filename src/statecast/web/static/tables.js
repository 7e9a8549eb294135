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
  "no_hero_fields": ["battery", "label", "kind", "image", "color"],
  "no_hero_words": [
    "uptime",
    "runtime",
    "count",
    "counter",
    "counts",
    "sequence",
    "seq",
    "id",
    "index",
    "version",
    "port",
    "rssi",
    "lqi",
    "snr",
    "interval",
    "retries",
    "errors",
    "restarts",
    "reboots",
    "boots",
    "heap",
    "memory",
    "time",
    "timestamp",
    "ts",
    "epoch"
  ],
  "yes_values": [true, 1, "true", "yes", "on"],
  "no_values": [false, 0, "false", "no", "off"],
  "data_pattern": "data:(\\w+)/[^,;]{1,80}(?:;[^,;]{1,80})*?(;base64)?,",
  "image_pattern": "(?:data:image/|/(?!/))[^\\x00-\\x20\\\\]*",
  "color_pattern":
    "#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})|[a-z]{3,24}|(?:rgb|hsl)a?\\([-0-9 .,%/]{1,60}\\)",
  "pictures": [
    { "name": "image", "alt": [] },
    { "name": "cloud", "alt": [["hugged:yes", "asleep:yes", "mood:word"], ["battery:spoken"]] },
    { "name": "gauge", "alt": [["$:spoken"]] },
    { "name": "number", "alt": [["$:spoken"]] },
    { "name": "icon", "alt": [["$:says"]] },
    { "name": "box", "alt": [] }
  ],
  "kinds": [
    { "names": ["cloud", "pillow"], "picture": "cloud", "fields": ["mood"] },
    { "names": ["gauge"], "picture": "gauge", "fields": [] },
    { "names": ["tank"], "picture": "gauge", "fields": ["level"] },
    { "names": ["humidity", "hygrometer"], "picture": "gauge", "fields": ["humidity"] },
    { "names": ["battery"], "picture": "gauge", "fields": ["battery"] },
    { "names": ["number"], "picture": "number", "fields": [] },
    { "names": ["counter"], "picture": "number", "fields": ["count", "counter", "total"] },
    {
      "names": ["temperature", "thermometer", "thermostat"],
      "picture": "number",
      "fields": ["temperature"]
    },
    { "names": ["power"], "picture": "number", "fields": ["power"] },
    { "names": ["meter", "energy"], "picture": "number", "fields": ["energy", "power"] },
    {
      "names": ["light", "lamp", "bulb"],
      "picture": "icon",
      "fields": ["on", "light"],
      "icon": { "name": "light", "yes": "on", "no": "off" }
    },
    {
      "names": ["door", "gate"],
      "picture": "icon",
      "fields": ["open", "door"],
      "icon": { "name": "door", "yes": "open", "no": "closed" }
    },
    {
      "names": ["window"],
      "picture": "icon",
      "fields": ["open", "window"],
      "icon": { "name": "window", "yes": "open", "no": "closed" }
    },
    {
      "names": ["lock"],
      "picture": "icon",
      "fields": ["locked", "lock"],
      "icon": { "name": "lock", "yes": "locked", "no": "unlocked" }
    },
    {
      "names": ["motion", "presence"],
      "picture": "icon",
      "fields": ["motion", "moving", "presence", "occupancy"],
      "icon": { "name": "motion", "yes": "moving", "no": "still" }
    },
    {
      "names": ["switch", "plug", "outlet", "fan", "pump"],
      "picture": "icon",
      "fields": ["on", "switch", "plug", "fan", "pump", "power"],
      "icon": { "name": "switch", "yes": "on", "no": "off" }
    },
    { "names": ["icon"], "picture": "icon", "fields": [] },
    { "names": ["box"], "picture": "box", "fields": [] }
  ],
  "kind_predicates": { "cloud": "plain", "gauge": "share", "number": "number", "icon": "truth" },
  "telling_fields": { "brightness": "light", "color_temp": "light" },
  "picture_rules": [
    {
      "picture": "icon",
      "fields": ["open", "locked", "motion", "moving", "presence", "occupancy", "on"],
      "is": "truth"
    },
    { "picture": "gauge", "suffix": "_percent", "is": "share" },
    { "picture": "gauge", "fields": ["level"], "is": "share" },
    { "picture": "number", "fields": ["temperature"], "is": "number" },
    { "picture": "gauge", "fields": ["humidity", "brightness"], "is": "share" },
    { "picture": "number", "suffix": "", "is": "number" },
    { "picture": "icon", "suffix": "", "is": "yes_no" },
    { "picture": "icon", "suffix": "", "is": "word" }
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
