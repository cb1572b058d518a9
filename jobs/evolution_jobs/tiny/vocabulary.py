"""Every word that the tiny model's tokenizer knows; what is not here becomes the unknown token.

Digits, punctuation and single letters are tokens of their own. The list is data: a new kind whose sentences need a new word adds
it here, and the shipped weights are then pre-trained again (`python -m evolution_jobs.tiny.pretrain`).
"""

SENTENCES = """
a about above absolute across after all along also am among an and angle answer answers any apart appear appearance
appears approximately are area around as ask assistant at away axis back back-left back-right backward be before
behind being below beside between both bottom but by camera can cartesian categories category center centimeter
centimeters centimetre centimetres centre ceiling choices choose clockwise closer closest cm combined come coming
compared correct corner count counter-clockwise degree degrees depth did different dimension direction directions
directly distance do does down during each edge eight eighteen eleven estimate exactly exist exists face faces facing
far farther farthest feet fifteen fifth first first-time five floor following for forward forwards four fourteen
fourth frame frames from front front-left front-right further furthest given goes greater had has have height high
higher how if image images in inside into is it items its kind last larger largest last-time least left length less
letter light location long longer longest look looking looks lower m m2 many me measured measuring meter meters metre
metres middle more most mostly move moved moves moving multiple my near nearer nearest next nine nineteen no none not
number object objects of off on once one only option options or order origin other out outside over per phrase picture
pictures place plane please point points position positive question quadrants refer relative right room rooms same
scene second see seen seven seventeen seventh short shorter shortest show shown shows side sideways single sit sits
sitting six sixteen sixth size small smaller smallest some space square standing stand stay still straight ten than
that the them then there these they third thirteen this those three time times to together top total toward towards
turn turned turning turns twelve twenty two type under unit until up upper user using video view visible wall walls
was way were what when where whether which while whole wide width will with within word words would x-axis y-axis yes
yet you your zero
"""

COLOURS = (
    "beige black blue brown cyan gray green grey maroon navy olive orange pink purple red teal turquoise violet white yellow"
)

FURNITURE = """
aquarium armchair backpack bag barrel basin basket bathtub bed bench bicycle bin blanket board bookcase bookshelf
bottle bowl box bucket cabinet carpet chair chest clock closet coat coffee computer couch counter crate cup cushion
cutting desk dining dishwasher door dresser exhaust fan fireplace fridge guitar hanger headphones heater kettle
keyboard ladder lamp laptop machine mat mattress microwave mirror monitor mouse nightstand ottoman oven painting pan
paper piano pillow plant pouf power printer rack radiator refrigerator rug screen shelf shoe shoes sink sofa speaker
stool stove strip suitcase table telephone television toilet towel tower toy trash tub tv vase wardrobe washer washing
whiteboard window
"""

LETTERS = "a b c d e f g h i j k l m n o p q r s t u v w x y z"
DIGITS = "0 1 2 3 4 5 6 7 8 9"
PUNCTUATION = ". , ? ! : ; ' \" ( ) - / %"

WORDS: tuple[str, ...] = tuple(dict.fromkeys(" ".join((DIGITS, PUNCTUATION, LETTERS, SENTENCES, COLOURS, FURNITURE)).split()))
